"""Latents: the priors from which a generator's input is drawn."""
