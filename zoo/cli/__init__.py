"""The command line: overrides and sentences about them, Hydra's groups, checks, continuing runs.

Imports training and all below it, and takes no torch before a task needs it.
From outside, tasks take the grammar, the lock and the settings of a run; users take `zoo.train`.
"""
