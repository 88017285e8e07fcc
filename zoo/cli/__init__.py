"""The command line: overrides, Hydra's config groups, validation, resuming, and error messages.

This package imports `zoo.training` and the packages below it, but no torch before a task needs it.
Tasks use its grammar, its lock and its settings of a run; users use `zoo.train`.
"""
