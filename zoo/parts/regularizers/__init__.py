"""Penalties and weight constraints."""
