"""Generators: networks from latents, and labels if there are classes, to images."""
