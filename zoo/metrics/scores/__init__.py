"""Metrics that compare generated images with real ones, each of them a registered part."""
