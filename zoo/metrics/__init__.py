"""Feature networks and sample-quality metrics."""
