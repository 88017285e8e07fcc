"""Each private name of Hydra that the zoo uses is there and does what it did."""

from __future__ import annotations

import argparse
import copy
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig

from zoo.cli.hydra_internals import argument_parser, run_composed, share_config_store
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError


def test_the_parser_knows_the_flags_that_the_program_looks_at() -> None:
    given = argument_parser().parse_args(["-m", "a=1", "--cfg", "job"])
    assert given.overrides == ["a=1"]
    assert given.multirun
    assert given.cfg == "job"
    asked = ("help", "hydra_help", "info", "shell_completion", "config_dir", "config_name")
    assert all(hasattr(given, name) for name in (*asked, "config_path", "experimental_rerun"))


def test_the_parser_stands_that_every_help_is_looked_into(monkeypatch) -> None:
    add = argparse.ArgumentParser.add_argument

    def check(self: argparse.ArgumentParser, action: argparse.Action) -> None:
        assert "%" not in (action.help or "")

    def add_and_check(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> argparse.Action:
        action = add(self, *args, **kwargs)
        self._check_help(action)
        return action

    monkeypatch.setattr(argparse.ArgumentParser, "_check_help", check, raising=False)
    monkeypatch.setattr(argparse.ArgumentParser, "add_argument", add_and_check)  # as in Python 3.14
    assert argument_parser().parse_args(["-sc"]).shell_completion


def test_a_copy_of_the_store_is_the_store_and_its_nodes_are_copies() -> None:
    share_config_store()
    store = ConfigStore.instance()
    assert copy.deepcopy(store) is store
    store.store(group="canary", name="bird", node={"sings": True})
    first = store.load("canary/bird.yaml").node
    first.sings = False
    assert store.load("canary/bird.yaml").node.sings


def test_a_composed_configuration_runs_as_a_job_in_its_folder(tmp_path) -> None:
    store_parts()
    given = ["task=list", f"hydra.run.dir={tmp_path}"]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", given, return_hydra_config=True)
    seen = []
    run_composed(config, lambda job: seen.append((job, HydraConfig.get().runtime.output_dir)))
    ((job, folder),) = seen
    assert folder == str(tmp_path)
    assert "hydra" not in job
    assert {p.name for p in (tmp_path / ".hydra").iterdir()} == {
        "config.yaml", "hydra.yaml", "overrides.yaml"
    }  # fmt: skip


def test_a_folder_without_room_is_named(tmp_path) -> None:
    store_parts()
    given = ["task=list", f"hydra.run.dir={tmp_path}"]
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", given, return_hydra_config=True)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").symlink_to("/dev/full")
    with pytest.raises(ZooError, match=rf"folder {tmp_path} cannot be written \(No space left"):
        run_composed(config, lambda job: None)
