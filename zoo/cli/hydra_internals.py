"""Hydra's private names, and what is changed of its classes.

tests/cli/test_hydra_internals.py watches them.
"""

from __future__ import annotations

import argparse

from hydra.core.config_store import ConfigStore


def argument_parser() -> argparse.ArgumentParser:
    """Hydra's own parser of the command line."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def share_config_store() -> None:
    """Let copies of the store be the store itself.

    `--help` copies it once per group, which took seconds. It is a singleton that copies each node
    it hands out.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
