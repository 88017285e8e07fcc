"""Adversarial losses, computed from the discriminator's logits."""
