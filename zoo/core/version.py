"""The version of the zoo, written into checkpoints and results."""

__version__ = "0.2.0"
