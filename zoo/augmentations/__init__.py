"""Differentiable augmentations."""
