"""`model.start`: training from another training's weights, on other data."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import torch
from helpers import make_checkpoint
from helpers_train import TINY, assert_same_training, read, start, train

import zoo
from zoo.cli.newest import name_newest
from zoo.cli.overrides import normalise
from zoo.core.errors import ZooError
from zoo.inference.describe import check_info
from zoo.inference.export import export
from zoo.inference.publish import card, without_paths
from zoo.registry import REGISTRY
from zoo.registry.places import ROOT
from zoo.training.start import Start, load_layers

STILL = ["model.lr_g=1e-30", "model.lr_d=1e-30", "trainer.max_steps=2"]
"""Steps that change no weight of 32 bits by as much as a bit."""
POINTS = ["datamodule=gaussians", "datamodule.batch_size=16"]


def parts(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the digits."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    train(folder, "trainer.max_steps=4", "model.ema_half_life=200")
    return folder


def test_another_process_starts_from_a_real_run_and_says_so(run, tmp_path):
    process = start(tmp_path / "second", f"start={run}", *STILL, "seed=5")
    out, error = process.communicate()
    assert process.returncode == 0, error
    assert f"training starts from {run} (mlp, 64 images of mnist_subset)" in out
    taken = re.search(r"generator \((\d+) of (\d+)\), the discriminator \((\d+) of (\d+)\)", out)
    assert taken
    assert taken[1] == taken[2]
    assert taken[3] == taken[4]
    assert "newly initialized" not in out
    before, after = read(run), read(tmp_path / "second")
    for prefix in ("generator.", "discriminator."):
        one, other = parts(before["state_dict"], prefix), parts(after["state_dict"], prefix)
        assert one.keys() == other.keys()
        for key in (k for k in one if k.endswith(("weight", "bias"))):
            assert torch.equal(one[key], other[key]), key
    # The average begins where the first run's was, and moves by its own half-life alone.
    raw = parts(after["state_dict"], "generator.")
    then, now = (parts(c["state_dict"], "ema_generator.") for c in (before, after))
    kept = 0.5 ** (2 * 16 / 10_000)
    for key in (k for k in raw if k.endswith("weight")):
        assert (raw[key] - then[key]).abs().max() > 1e-5
        expected = kept * then[key] + (1 - kept) * raw[key]
        torch.testing.assert_close(now[key], expected, atol=1e-6, rtol=0)
    origin = zoo.load(tmp_path / "second").info["start"]
    assert origin["source"] == str(run)
    assert origin["generator"] == "mlp"
    assert origin["images_seen"] == 64
    assert origin["data"] == "mnist_subset"
    assert after["zoo"]["images_seen"] == 32  # its own


def test_other_sizes_and_classes_take_what_fits_and_tell_the_rest(run, tmp_path, capsys):
    other = ["datamodule.image_size=16", "model.conditional=false", f"model.start={run}"]
    train(tmp_path / "a", *other, *STILL)
    told = capsys.readouterr().out
    assert "the generator (6 of 8), the discriminator (2 of 3), the average (6 of 8); newly" in told
    assert "(6 of 8); newly initialized: " in told
    assert "generator.layers.0, generator.layers.11, discriminator.layers.0." in told
    before, after = read(run)["state_dict"], read(tmp_path / "a")["state_dict"]
    fitting = [k for k, v in after.items() if k in before and before[k].shape == v.shape]
    assert any("generator" in k for k in fitting)
    with pytest.raises(
        ZooError, match="has no layer whose name and shape match one of this training"
    ):
        train(tmp_path / "b", *POINTS, "model/generator=toy", "model/discriminator=toy",
              f"model.start={run}", tiny=False)  # fmt: skip


def test_classes_of_other_names_are_told(run, tmp_path, capsys):
    """In another order each class would start from the weights of another one, silently."""
    names = [str(digit) for digit in range(10)]
    assert (
        Start(run).renamed(names) == Start(run).renamed(names[:9]) == Start(run).renamed([]) == []
    )
    swapped = make_checkpoint(
        tmp_path / "swapped.ckpt", "mlp", "mlp", image_size=8, latent_dim=8,
        generator_options={"width": 8}, class_names=[*names[:7], "8", "7", "9"],
    )  # fmt: skip
    train(tmp_path / "second", f"model.start={swapped}", *STILL)
    assert f"note: class 7 is '7' here but was '8' in {swapped}: " in capsys.readouterr().out
    train(tmp_path / "third", f"model.start={swapped}", *STILL, "model.conditional=false")
    assert "note: class" not in capsys.readouterr().out


def test_a_layer_is_taken_whole_or_not_at_all():
    old = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    new = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 2))
    before = {k: v.clone() for k, v in new.state_dict().items()}
    left, taken = load_layers(new, old.state_dict(), "old")
    assert (left, taken) == (["0"], ["1"])
    assert torch.equal(new[0].bias, before["0.bias"])  # of the same shape, but another layer's
    assert torch.equal(new[1].weight, old[1].weight)
    broken = {k: v * float("nan") for k, v in old.state_dict().items()}
    with pytest.raises(ZooError, match=r"training diverged: 1.weight has NaN"):
        load_layers(new, broken, "old")


def test_what_a_layer_computes_from_its_settings_stays_its_own():
    """StyleGAN3's filters belong to the side of the images, whatever their shape."""
    options = REGISTRY.get("generator", "stylegan3").load().tiny
    small, large = (
        zoo.create("generator", "stylegan3", image_size=s, channels=1, latent_dim=12, **options)
        for s in (64, 128)
    )
    before = {k: v.clone() for k, v in large.state_dict().items()}
    held = {k: torch.full_like(v, 3) if "filter" in k else v for k, v in large.state_dict().items()}
    load_layers(large, held, "small")
    for key, value in large.state_dict().items():
        assert torch.equal(value, before[key]), key
    left, taken = load_layers(large, small.state_dict(), "small")
    assert taken
    assert left


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_positions_of_another_size_are_computed_and_all_that_gat_learned_is_taken(kind):
    shape = {"channels": 1, "num_classes": 2, "width": 16, "depth": 4, "heads": 2, "patch": 4}
    shape |= {"latent_dim": 5} if kind == "generator" else {}
    small = zoo.create(kind, "gat", image_size=8, **shape)
    large = zoo.create(kind, "gat", image_size=16, **shape)
    positions = large.positions.clone()
    left, _ = load_layers(large, small.state_dict(), "small")
    assert not left
    assert torch.equal(large.positions, positions)
    learned = {k: v for k, v in small.state_dict().items() if k != "positions"}
    assert all(torch.equal(v, large.state_dict()[k]) for k, v in learned.items())


def test_what_lies_beside_the_layers_is_told_by_its_name():
    shape = {"channels": 1, "latent_dim": 5, "base": 64, "max_channels": 4, "style_dim": 4}
    small, large = (
        zoo.create("generator", "stylegan2", image_size=s, **shape) for s in (8, [8, 12])
    )
    left, _ = load_layers(large, small.state_dict(), "small")
    assert "constant" in left
    assert all(left)


def test_resumed_as_if_it_had_never_stopped(run, tmp_path, monkeypatch):
    """The average goes on without its ramp-up, and the first weights are not read again."""
    first = tmp_path / "kept.ckpt"
    first.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    given = [f"model.start={first}", "model.ema_half_life=200"]
    train(tmp_path / "whole", *given, "trainer.max_steps=6")
    train(tmp_path / "halves", *given, "trainer.max_steps=3")
    first.unlink()
    train(tmp_path / "halves", f"resume={tmp_path / 'halves'}", "trainer.max_steps=6")
    whole, halves = read(tmp_path / "whole"), read(tmp_path / "halves")
    assert_same_training(whole, halves)
    assert whole["zoo"]["start"] == halves["zoo"]["start"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError, match=r"^resume=halves/\S+ resumes a training, but model"):
        train(tmp_path / "x", f"resume={tmp_path / 'halves'}", "model.start=mnist")


def test_frozen_layers_keep_the_weights_they_started_with(run, tmp_path):
    train(tmp_path, f"model.start={run}", "model/regularizer=freeze_d", "trainer.max_steps=4")
    before, after = read(run)["state_dict"], read(tmp_path)["state_dict"]
    network = zoo.load(tmp_path).discriminator()
    names = {m: n for n, m in network.named_modules()}
    still = [f"discriminator.{names[network.stages()[0]]}.{k}" for k in ("weight", "bias")]
    changed = [k for k in after if k.startswith("discriminator.") and k not in still]
    assert all(torch.equal(before[k], after[k]) for k in still)
    assert any(not torch.equal(before[k], after[k]) for k in changed)


def test_from_python_and_from_a_model_of_the_zoo(run, tmp_path):
    """A published model has neither a discriminator nor raw weights: both sides start from it."""
    gan = zoo.GAN(
        zoo.create("generator", "dcgan", image_size=32, channels=1, latent_dim=100, num_classes=10,
                   base_channels=32),
        "mlp", "bce", image_size=32, channels=1, num_classes=10, start="mnist",
    )  # fmt: skip
    model = zoo.load("mnist")
    assert torch.equal(gan.sample(2, label=3), model.sample(2, label=3))
    assert any("the discriminator (none in the file)" in note for note in gan.notes)
    assert gan.describe()["start"]["source"] == "mnist"
    assert gan.ema.decay(64, 0) > 0.9  # the trained average is kept from the first update on
    tuned = zoo.train(*TINY, "trainer.max_steps=1", start=run, out=tmp_path / "run")
    assert tuned.info["start"]["hash"] == Start(run).record()["hash"]
    options = {"image_size": 16, "channels": 1, "latent_dim": 8}
    partly = zoo.GAN({"name": "mlp", "width": 8}, "mlp", "bce", **options, start=str(run))
    assert partly.ema.decay(64, 0) == 0  # new layers are averaged as in any new training


def test_the_newest_run_and_the_short_word(tmp_path, monkeypatch, capsys):
    make_checkpoint(tmp_path / "runs" / "one" / "checkpoints" / "last.ckpt")
    monkeypatch.chdir(tmp_path)
    assert name_newest(normalise(["start=last"])) == ["model.start='runs/one'"]
    assert "model.start=last is runs/one" in capsys.readouterr().out


def test_files_without_weights_and_damaged_origins_are_told(tmp_path):
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt"))
    export(model, tmp_path / "a.onnx", "onnx")
    with pytest.raises(ZooError, match=r"model.start=.*a.onnx is an exported program"):
        Start(str(tmp_path / "a.onnx"))
    with pytest.raises(ZooError, match="no checkpoint at 'nowhere'"):
        Start("nowhere")
    for wrong in (3, {"source": "x"}, {**Start("mnist").record(), "start": []}):
        with pytest.raises(ZooError, match="has a start in its description that names no training"):
            check_info({**model.info, "start": wrong}, tmp_path)


def test_a_published_model_names_its_start_without_folders(tmp_path):
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt"))
    first = {**Start("mnist").record(), "start": {**Start("mnist").record(), "source": "/home/x/a"}}
    model.info = without_paths({**model.info, "start": first})
    assert model.info["start"]["source"] == "mnist"
    assert model.info["start"]["start"]["source"] == "a"
    assert "| started from | mnist (dcgan, " in card(model, "somewhere", "fp32")
    json.dumps(model.info)


def test_help_shows_it():
    command = [sys.executable, str(ROOT / "run.py"), "--cfg", "job"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "start: null" in shown
