"""Training: the step in pure PyTorch, the LightningModule around it, and what it needs."""
