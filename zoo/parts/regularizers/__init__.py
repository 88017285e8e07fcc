"""Regularizers: gradient penalties, weight constraints and other changes to an update."""
