"""Reading and writing documents: files in, records and rejects out; predictions and rejects back to files."""
