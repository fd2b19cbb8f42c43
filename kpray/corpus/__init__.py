"""Reading of documents from files as records and rejects; writing of predictions and rejects."""
