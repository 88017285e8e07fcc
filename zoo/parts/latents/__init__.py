"""Latents: the priors that a generator's input is drawn from."""
