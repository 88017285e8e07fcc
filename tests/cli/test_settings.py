"""What a checkpoint keeps of a configuration is values, and a file's values are not trusted."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from zoo.cli import overrides
from zoo.cli.replay import overrides_of
from zoo.cli.settings import checked, is_own, settings_of
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError

TINY = [
    "datamodule.image_size=8", "model/generator=mlp", "model/discriminator=mlp",
    "model.generator.width=8", "model.latent_dim=8", "trainer.accelerator=cpu",
    "callbacks.samples.rows=2", "callbacks.progress=null",
]  # fmt: skip
FILE = Path("run/checkpoints/last.ckpt")
RUNS = {
    "tiny": TINY,
    "experiment": ["experiment=train_mnist_gan", "trainer=ddp", "seed=3"],
    "lists": ["model/regularizer=[r1,lecam]", "model.regularizer.r1.every=4", "model.betas=[0,0.9]",
              "model/head=projection", "+trainer.max_time=00:01:00:00"],
    "nothing": ["logger=null", "callbacks=null"],
    "much": ["callbacks=evaluate", "~callbacks.samples", "logger=many", "data_dir=/d",
             "datamodule=image_folder", "datamodule.folder=/a/b c"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    store_parts()


def composed(*given: str) -> dict[str, Any]:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", overrides=overrides.normalise(list(given)))
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


@pytest.mark.parametrize("name", RUNS)
def test_settings_make_the_same_configuration_again(name):
    settings = settings_of(composed(*RUNS[name]))
    assert is_own(settings)
    again = overrides_of(checked(settings, FILE), [], FILE, own=True)
    assert settings_of(composed(*again)) == settings


def test_what_is_given_anew_holds():
    values = settings_of(composed(*RUNS["experiment"]))["values"]

    def resumed(*given: str) -> dict[str, Any]:
        return composed(*overrides_of(values, list(given), FILE, own=True), *given)

    loss = resumed("model/loss=hinge")
    assert loss["model"]["loss"] == composed("model/loss=hinge")["model"]["loss"]
    assert loss["trainer"] == composed(*RUNS["experiment"])["trainer"]
    trainer = resumed("trainer=cpu")["trainer"]
    assert (trainer["accelerator"], trainer["devices"], trainer["strategy"]) == ("cpu", 1, "auto")
    assert trainer["max_epochs"] == 10  # of the experiment
    model = resumed("experiment=sngan")["model"]
    assert model["generator"] == composed("experiment=sngan")["model"]["generator"]
    assert resumed("seed=5", "model.lr_g=1")["seed"] == 5
    assert "wandb" not in resumed("logger=csv")["logger"]


def foreign(change) -> None:
    settings = copy.deepcopy(settings_of(composed(*TINY)))
    change(settings["values"])
    assert not is_own(settings)
    given = overrides_of(checked(settings, FILE), [], FILE, own=False)
    overrides.check(given, CONFIGS)


def test_a_foreign_file_with_plain_settings_continues():
    foreign(lambda v: v["model"].update(lr_g=3e-3))


def _put(place: str, value: Any):
    def change(values: dict[str, Any]) -> None:
        node = values
        *parents, last = place.split(".")
        for name in parents:
            node = node[name]
        node[last] = value

    change.__name__ = place
    return change


EVIL = {"_target_": "torch.load", "f": "x.pt", "weights_only": False}


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        # code
        ("model.generator", {"name": "../../x", "options": {}}, "is not a valid name of a part"),
        ("model.generator", {"name": "os.system", "options": {}}, "is not a valid name of a part"),
        ("model.generator", EVIL, "name no generator"),
        ("model.generator.options", {"_target_": "os.system"}, "no option '_target_'|_target_"),
        ("datamodule.name", "nothing_here", "there is no datamodule 'nothing_here'"),
        ("callbacks.samples._target_", "zoo.load", "which no configuration file of this zoo names"),
        ("callbacks.x", EVIL, "callbacks.x.*which no configuration file of this zoo names"),
        ("logger.x", {"_target_": "pytorch_lightning.loggers.CSVLogger"},
         "no configuration file of this zoo"),
        ("callbacks.samples.rows", EVIL, "callbacks.samples|_target_"),
        ("trainer.strategy", EVIL, "trainer"),
        ("trainer.plugins", [EVIL], "trainer.plugins|_target_"),
        ("seed", "${oc.create:{_target_:os.system}}", "could be evaluated"),
        ("model.generator.options", {"a": "${oc.decode:x}"}, "could be evaluated"),
        ("hydra", {"run": {"dir": "x"}}, "no training of this zoo writes down"),
        ("task", {"_target_": "os.system"}, "no training of this zoo writes down"),
        ("model.x@hydra", 1, "has a setting with the invalid name"),
        ("model.a=1 b", 1, "has a setting with the invalid name"),
        ("seed", b"x", "is not a plain value|a bytes as seed"),
        ("model.betas", [[[[[[[[[[1]]]]]]]]]], "too large"),
        ("model.betas", list(range(10_000)), "too large"),
        # where to read and write
        ("data_dir", "/home/somebody", "says where to read or write"),
        ("data_dir", "elsewhere", "says where to read or write"),
        ("callbacks.checkpoints.folder", "/tmp/x", "says where to read or write"),
        ("callbacks.samples.folder", "x", "says where to read or write"),
        ("logger.csv.save_dir", "x", "says where to read or write"),
        ("logger.csv.name", "../x", "says where to read or write"),
        ("logger.csv.version", "..", "says where to read or write"),
        ("logger.csv.save_code", True, "an option that no configuration file of this zoo has"),
        ("datamodule", {"name": "image_folder", "options": {"folder": "p"}}, "where to read"),
        ("model.discriminator", {"name": "timm", "options": {"pretrained": True}}, "where to read"),
    ],
)  # fmt: skip
def test_a_foreign_file_cannot_run_code_nor_lead_elsewhere(place, value, words):
    with pytest.raises(ZooError, match=words):
        foreign(_put(place, value) if place not in ("hydra", "task") else
                lambda v: v.update({place: value}))  # fmt: skip


def test_what_a_foreign_file_may_not_bring_is_followed_when_given_again():
    values = settings_of(composed(*TINY, "data_dir=/d"))["values"]
    again = overrides_of(values, ["data_dir=/d"], FILE, own=False)
    assert not any(o.startswith("data_dir") for o in again)


def test_another_user_has_another_seal(tmp_path, monkeypatch):
    settings = settings_of(composed(*TINY))
    assert is_own(settings)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "of another"))
    assert not is_own(settings)
    assert not is_own({"values": settings["values"], "seal": ""})
    assert not is_own({"values": settings["values"], "seal": "é"})
    assert not is_own({"values": settings["values"]})


def test_nothing_is_ones_own_without_a_key(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))  # where none can be kept
    settings = settings_of(composed(*TINY))
    assert not is_own(settings)
    assert not is_own({**settings, "seal": "-"})


def test_half_a_key_is_made_anew(tmp_path, monkeypatch):
    """With an empty one, which a full disk leaves, anybody could seal settings."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    key = tmp_path / "seal.key"
    key.touch()
    settings = settings_of(composed(*TINY))
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o777 == 0o600
    assert is_own(settings)
    known = hmac.new(b"", json.dumps(settings["values"], sort_keys=True).encode(), hashlib.sha256)
    assert not is_own({**settings, "seal": known.hexdigest()})
    assert [file.name for file in tmp_path.iterdir()] == ["seal.key"]


def test_the_log_of_a_foreign_file_is_sent_to_nobody():
    values = settings_of(composed(*TINY, "logger=wandb", "logger.wandb.offline=false"))["values"]

    def offline(*given: str, own: bool = False) -> Any:
        again = overrides_of(values, list(given), FILE, own=own)
        return composed(*again, *given)["logger"]["wandb"]["offline"]

    assert offline() is True
    assert offline(own=True) is False
    assert offline("logger.wandb.offline=false") is False
    assert offline("logger=wandb") is None  # which the user has chosen


def test_the_log_of_a_foreign_file_goes_to_no_server_of_mlflows():
    given = ("logger=mlflow", "logger.mlflow.tracking_uri=databricks")
    values = settings_of(composed(*TINY, *given))["values"]

    def place(*given: str, own: bool = False) -> Any:
        again = overrides_of(values, list(given), FILE, own=own)
        return composed(*again, *given)["logger"]["mlflow"]["tracking_uri"]

    assert place() == "local"
    assert place(own=True) == "databricks"
    assert place("logger.mlflow.tracking_uri=https://here") == "https://here"
