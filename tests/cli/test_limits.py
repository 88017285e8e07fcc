"""What no machine can do is refused in a sentence before work starts, and fast."""

from __future__ import annotations

import os
import zipfile

import pytest
import torch
from helpers import make_checkpoint
from helpers_train import train
from omegaconf import OmegaConf
from safetensors.torch import save_file

import zoo
from zoo.cli.jobs import remove_unused, run_checked
from zoo.core.errors import ZooError
from zoo.inference.files import read


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("datamodule.batch_size=1000000000", "more than the .* GB now available on this machine"),
        (
            "datamodule.image_size=1152921504606846976",
            "more than the .* GB now available on this machine",
        ),
        ("model.d_steps=1000000000", "for each of 1,000,000,000 updates takes .* more than the"),
        ("callbacks.samples.rows=1000000000", "more than 10,000 images"),
        ("trainer.devices=64000", "asks for 64000 processes, but this machine has"),
        ("trainer.devices='64000'", "asks for 64000 processes, but this machine has"),
    ],
)
def test_a_training_beyond_all_machines(tmp_path, override, words):
    with pytest.raises(ZooError, match=words) as caught:
        train(tmp_path / "run", "trainer.strategy=ddp", override)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_sixty_four_processes_on_two_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(ZooError, match="has 2 cores: use at most 4; more than 2 are not faster"):
        train(tmp_path / "run", "trainer.devices=64", "trainer.strategy=ddp")


def test_a_pipe_among_the_pictures_is_no_picture(tmp_path):
    for name in ("a.png", "b.jpg", ".lock", "dataset.json"):
        os.mkfifo(tmp_path / name)
    data = zoo.create("datamodule", "image_folder", folder=str(tmp_path), labels="none")
    with pytest.raises(ZooError, match="There is no picture in"):
        data.setup()


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt", "mlp")


def test_a_few_bytes_of_a_safetensors_file_describe_no_large_network(ckpt, tmp_path):
    """1.3 KB with `depth=63` once took 11 GB."""
    file = zoo.load(ckpt).save(tmp_path / "small.safetensors")
    info, _ = read(file)
    import json

    for name, value in (("depth", 63), ("depth", 10**6), ("width", 2**40), ("channels", 10**4)):
        info["generator"]["options"][name] = value
        save_file({"generator.x": torch.zeros(4)}, file, metadata={"zoo": json.dumps(info)})
        assert file.stat().st_size < 4000
        with pytest.raises(ZooError, match=r"does not fit its own description|no option|must be"):
            zoo.load(file)


def test_a_safetensors_header_that_is_larger_than_its_file(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes((2**60).to_bytes(8, "little") + b"{}")
    with pytest.raises(ZooError, match="damaged or not a safetensors file"):
        zoo.load(file)


def test_eight_kilobytes_of_expanded_tensors(ckpt, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    content["state_dict"] = {
        name: torch.zeros(1).expand(10**9) for name in list(content["state_dict"])[:3]
    }
    torch.save(content, tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt").stat().st_size < 20_000
    with pytest.raises(ZooError, match="more memory than the file"):
        zoo.load(tmp_path / "a.ckpt")


def test_zeros_that_were_deflated(ckpt, tmp_path):
    file = tmp_path / "a.ckpt"
    with zipfile.ZipFile(ckpt) as given, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for entry in given.infolist():
            made.writestr(entry.filename, given.read(entry))
        with made.open("archive/data/999", "w", force_zip64=True) as large:
            for _ in range(200):
                large.write(bytes(2**17))
    assert file.stat().st_size < 200 * 2**17
    with pytest.raises(ZooError, match="damaged or not a checkpoint"):
        zoo.load(file)


def test_the_folder_that_the_user_is_in_is_not_removed(tmp_path, monkeypatch):
    here = tmp_path / "empty"
    (here / "o" / ".hydra").mkdir(parents=True)
    monkeypatch.chdir(here)
    remove_unused(here / "o")
    assert here.is_dir()
    assert not (here / "o").exists()


def test_a_task_that_is_stopped_before_it_writes_leaves_no_folder(tmp_path, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.cli.jobs.create", stop)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "run" / ".hydra").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt):
        run_checked(
            OmegaConf.create({"task": {"_target_": "list"}}), tmp_path / "outputs" / "run", []
        )
    assert list(tmp_path.iterdir()) == []
