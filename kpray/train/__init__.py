"""Training of any `TrainingTask` on Ray Train with DeepSpeed."""
