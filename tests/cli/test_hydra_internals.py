"""Each private name of Hydra that the zoo uses is there and does what it did."""

from __future__ import annotations

import copy

from hydra.core.config_store import ConfigStore

from zoo.cli.hydra_internals import argument_parser, share_config_store


def test_the_parser_knows_the_flags_that_the_program_looks_at() -> None:
    given = argument_parser().parse_args(["-m", "a=1", "--cfg", "job"])
    assert given.overrides == ["a=1"]
    assert given.multirun
    assert given.cfg == "job"
    asked = ("help", "hydra_help", "info", "shell_completion", "config_dir", "config_name")
    assert all(hasattr(given, name) for name in (*asked, "config_path", "experimental_rerun"))


def test_a_copy_of_the_store_is_the_store_and_its_nodes_are_copies() -> None:
    share_config_store()
    store = ConfigStore.instance()
    assert copy.deepcopy(store) is store
    store.store(group="canary", name="bird", node={"sings": True})
    first = store.load("canary/bird.yaml").node
    first.sings = False
    assert store.load("canary/bird.yaml").node.sings
