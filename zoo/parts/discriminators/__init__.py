"""Discriminators: trunks that give features to a head."""
