"""Generators: networks from latents (and labels) to images."""
