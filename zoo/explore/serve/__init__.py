"""A local web page for playing with trained generators."""
