"""The command line: overrides and words about them, Hydra's groups, checks, continuing runs."""
