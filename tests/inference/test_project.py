"""Projection: pictures that a generator made itself are found again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from helpers import make_checkpoint, small_checkpoint
from safetensors.torch import load_file

import zoo
from zoo.contracts.task import Run
from zoo.core.errors import ZooError
from zoo.inference.export import export
from zoo.inference.images import to_uint8, write_png
from zoo.inference.project import autocorrelation, distance_of, normalise, project, ramp
from zoo.inference.target import read_target
from zoo.layers.fastgan import Noise
from zoo.registry import REGISTRY
from zoo.registry.places import ROOT

QUICK = {"steps": 120, "candidates": 100, "starts": 2, "features": False}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("project") / "a.ckpt", "mlp", "mlp")


def test_a_picture_of_its_own_is_found_again(file):
    """The error falls to less than a tenth of that of the best of a hundred latents."""
    model = zoo.load(file)
    z, y = model.draw(2, label=[4, 7], seed=9)
    targets = model.generate(z, y)[:3]
    found = model.project(targets, [4, 4, 7], **QUICK)
    assert found.space == "z"
    assert found.distance == "mean square of pixels"
    assert (found.errors < found.first_errors / 10).all()
    again = model.generate(found.latents, found.labels)
    torch.testing.assert_close(again, found.images, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        (again - targets).square().flatten(1).mean(1), found.errors, atol=1e-5, rtol=0
    )
    assert found.frames.shape == (3, 8, *targets.shape[1:])
    assert torch.equal(found.frames[:, -1], found.images)
    same = model.project(targets, [4, 4, 7], **QUICK)
    assert torch.equal(same.latents, found.latents)  # by its seed
    other = model.project(targets, [4, 4, 7], **QUICK, seed=1)
    assert not torch.equal(other.latents, found.latents)
    assert all(p.requires_grad for p in model.generator.parameters())


def test_styles_and_noise_of_a_generator_that_has_some(tmp_path):
    tiny = REGISTRY.get("generator", "stylegan2").load().tiny
    file = make_checkpoint(
        tmp_path / "a.ckpt", "stylegan2", "mlp", image_size=16, generator_options=tiny, ema=False
    )
    model = zoo.load(file)
    with torch.no_grad():
        for name, strength in model.generator.named_parameters():
            if name.endswith("strength"):
                strength.fill_(0.1)
            if "mapping.layers" in name and name.endswith("weight"):
                strength.normal_(std=100)  # whose images differ by their styles, as after training
    model.generator.set_noise(7)
    target = model.sample(1, label=2, seed=5)
    model.generator.set_noise(8)
    before = {k: v.clone() for k, v in model.generator.state_dict().items()}
    found = model.project(target, 2, **{**QUICK, "steps": 60})
    assert found.space == "w"
    assert (found.errors < found.first_errors).all()  # of random weights most is noise
    for key, value in model.generator.state_dict().items():  # its own noise is put back
        assert torch.equal(value, before[key]), key
    assert found.noise
    for value in found.noise.values():
        assert value.mean().abs() < 1e-5
        assert value.square().mean().item() == pytest.approx(1, abs=1e-4)
    modules = dict(model.generator.named_modules())
    with torch.no_grad():
        for name, value in found.noise.items():
            modules[name].noise_map.copy_(value)
        styles = found.latents[:, None].expand(-1, model.generator.styles, -1)
        made = model.generator.synthesize(styles, found.labels).clamp(-1, 1)
    torch.testing.assert_close(made, found.images, atol=1e-4, rtol=0)
    with torch.no_grad():  # styles alone
        for name, strength in model.generator.named_parameters():
            if name.endswith("strength"):
                strength.zero_()
    plain = model.project(model.sample(1, label=2, seed=5), 2, **QUICK, noise=False)
    assert not plain.noise
    assert (plain.errors < plain.first_errors / 10).all()


@pytest.mark.parametrize("classes", [0, 3])  # with classes two noises of a block are one
def test_noise_of_a_generator_without_styles(tmp_path, classes):
    network = zoo.load(small_checkpoint(tmp_path / "a.ckpt", "fastgan", classes)).generator
    noises = {n: m for n, m in network.named_modules() if isinstance(m, Noise)}
    with torch.no_grad():
        for module in noises.values():
            module.weight.fill_(0.1)
    kept = {name: module.noise_map.clone() for name, module in noises.items()}
    labels = torch.tensor([1]) if classes else None
    target = torch.rand(1, 1, network.height, network.width) * 2 - 1
    found = project(network, target, labels, steps=3, candidates=8, features=False)
    assert found.space == "z"
    assert found.noise.keys() == noises.keys()
    assert all(torch.equal(module.noise_map, kept[n]) for n, module in noises.items())
    with torch.no_grad():
        for name, module in noises.items():
            assert not torch.equal(found.noise[name], kept[name])
            module.noise_map.copy_(found.noise[name])
        made = network(found.latents, labels).clamp(-1, 1)
    torch.testing.assert_close(made, found.images, atol=1e-4, rtol=0)


def test_schedules_and_the_noise_term_by_hand():
    assert [ramp(d) for d in (0.0, 0.025, 0.05, 0.5, 0.75)] == pytest.approx([0, 0.5, 1, 1, 1])
    assert ramp(0.875) == pytest.approx(0.5)
    # (1, -1, 1, ...) along rows: across -1, down 1, and constant 0 at half the size.
    stripes = torch.tensor([1.0, -1.0]).repeat(8).expand(16, 16)[None, None]
    assert autocorrelation(stripes).item() == pytest.approx(2)
    flat = torch.ones(1, 1, 16, 16)  # pooled, it stays 1: two scales of two directions
    assert autocorrelation(flat).item() == pytest.approx(2 + 2 * 2**4)
    drawn = 3 * torch.randn(1, 1, 8, 8) + 1
    normalise(drawn)
    assert drawn.mean().abs() < 1e-6
    assert drawn.square().mean().item() == pytest.approx(1, abs=1e-5)


def test_features_are_used_where_they_are_and_said(monkeypatch):
    measure, words = distance_of(None, 32)
    assert words == "mean square of pixels + features of efficientnet_lite0"
    x = torch.rand(2, 1, 32, 32, requires_grad=True)
    assert torch.equal(measure(x.detach(), x.detach()), torch.zeros(2))
    (slope,) = torch.autograd.grad(measure(x, torch.zeros_like(x)).sum(), x)
    assert slope.isfinite().all()
    assert distance_of(None, 16)[1] == "mean square of pixels"  # too small for them
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert distance_of(None, 32)[1].startswith(
        "mean square of pixels; with features: pip install 'gan"
    )
    assert distance_of(None, 16)[1] == "mean square of pixels"  # which the package would not change


def test_what_cannot_be_projected_is_told(file, tmp_path):
    model = zoo.load(file)
    with pytest.raises(ZooError, match=r"takes images of \(N, 1, 16, 16\), but got \(1, 3, 8, 8\)"):
        model.project(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ZooError, match="2 images need as many labels, but got 3"):
        model.project(torch.zeros(2, 1, 16, 16), [1, 2, 3])
    with pytest.raises(ZooError, match="steps=0 must be"):
        model.project(torch.zeros(1, 1, 16, 16), steps=0)
    export(model, tmp_path / "a.onnx", "onnx")
    with pytest.raises(ZooError, match="which an exported program does not have"):
        zoo.load(tmp_path / "a.onnx").project(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ZooError, match="needs ckpt=… and image=…"):
        zoo.create("task", "project", ckpt=str(file))(tmp_path)
    with pytest.raises(ZooError, match=r"seconds=0\.0 must be above 0"):
        model.project(torch.zeros(1, 1, 16, 16), seconds=0)
    with pytest.raises(ZooError, match=r"no image file at image=nowhere.png"):
        zoo.create("task", "project", ckpt=str(file), image="nowhere.png")(tmp_path)


def test_an_oblong_model_reads_oblong_pictures(tmp_path):
    """The largest centred window of its shape."""
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt", "mlp", "mlp", image_size=[24, 16]))
    picture = torch.zeros(1, 30, 48, dtype=torch.uint8)
    picture[:, :, 14:34] = 255  # the window: 30 rows, and 20 columns in the middle
    target = read_target(model.generator, write_png(picture, tmp_path / "a.png"))
    assert target.shape == (1, 1, 24, 16)
    assert target.min() > 0.99
    found = model.project(target, 3, **QUICK)
    assert found.images.shape == target.shape
    assert found.origins.shape == (1, 12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": ""}, "task=project needs ckpt=… and image=…, an image file or several"),
        ({"image": ["a.png", ""]}, "task=project needs ckpt=… and image=…, an image file or"),
        ({"image": "a.png", "ckpt": ""}, "task=project needs ckpt=… and image=…"),
        ({"image": "a.png"}, "there is no image file at image=a.png"),
        ({"image": "."}, r"image=. is a folder: list its image files instead, image=\[FILE,FILE\]"),
    ],
)
def test_pictures_are_looked_for_before_the_model_is_read(monkeypatch, tmp_path, options, words):
    monkeypatch.setattr("zoo.inference.load.load", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(ZooError, match=words):
        zoo.create("task", "project", **{"ckpt": "mnist", **options}).run(Run(folder=tmp_path))


def test_the_task_in_a_fresh_process(file, tmp_path):
    model = zoo.load(file)
    picture = write_png(to_uint8(model.sample(1, label=6, seed=3))[0], tmp_path / "a b.png")
    out = tmp_path / "run"
    command = [
        sys.executable, str(ROOT / "run.py"), "task=project", f"ckpt={file}", f"image='{picture}'",
        "label=6", "steps=60", "candidates=50", "device=cpu", f"hydra.run.dir={out}",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "mean square of pixels" in done.stdout
    assert (out / "way.png").is_file()
    held = load_file(out / "latents.safetensors")
    assert held["z"].shape == (1, 12)
    assert held["labels"].tolist() == [6]
    assert held["errors"].item() < 0.1
    assert (out / "00000.png").is_file()
