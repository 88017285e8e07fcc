"""The version of the package, which is stored in checkpoints and results."""

__version__ = "0.2.0"
