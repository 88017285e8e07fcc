"""Samplers, which select or refine latents after training using the discriminator's scores."""
