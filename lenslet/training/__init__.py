"""Training: features, head fit, fine-tuning, checkpoints, learning-rate finder, training record."""
