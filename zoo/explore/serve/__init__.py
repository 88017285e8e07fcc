"""A page on this machine on which one plays with trained generators."""
