"""Heads: what scores the features of a discriminator."""
