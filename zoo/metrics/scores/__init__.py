"""Metrics: the figures of generated images beside real ones, one part each."""
