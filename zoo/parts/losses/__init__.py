"""Adversarial losses on logits."""
