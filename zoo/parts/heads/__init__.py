"""Heads, which turn a discriminator's features into scores."""
