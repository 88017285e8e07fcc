"""Feature networks, whose features metrics compare; one file per family."""
