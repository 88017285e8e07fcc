"""Samplers, which choose latents by D's word after training."""
