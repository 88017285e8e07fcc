"""The pictures of task=explore hold what their captions say."""

from __future__ import annotations

import json
import math
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import make_checkpoint
from PIL import Image

import zoo
from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.data.pixels import to_float, to_uint8
from zoo.explore.compare import read_metrics
from zoo.explore.latents import class_grid, first_layer, interpolation_grid, sefa
from zoo.explore.plots import plot_curves
from zoo.explore.reality import nearest, neighbour_grid, spectrum, tsne
from zoo.explore.sections import Makers
from zoo.metrics.protocol import Protocol, Result
from zoo.metrics.results import find_results, read_findings
from zoo.tasks.explore import SECTIONS, Explore

PICTURES = [name for name in SECTIONS if name not in ("diagnostics", "codes")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_checkpoint(folder / "checkpoints" / "last.ckpt", image_size=28)
    (folder / "metrics.csv").write_text(
        "epoch,images_seen,loss_d,loss_g,step\n0,64,1.2,0.7,1\n0,128,1.0,,2\n"
    )
    fields = {
        name: 10_000 if kind == "int" else f"the {name}"
        for name, kind in Protocol.__annotations__.items()
    } | {"weights": "ema", "batch_norm": "running", "settings": {"fid": "the settings"}}
    findings = [{"epoch": 3, "kind": "saturated", "sentence": "D is <saturated>"}]
    (folder / "diagnostics.json").write_text(json.dumps(findings))
    kept = folder / "evaluations"
    kept.mkdir()
    Result("a", Protocol(**fields), {"fid": 12.345678}).save(kept / "images_000001280_a.json")
    Result("a", Protocol(**fields), {"fid": 99.5}).save(kept / "images_000000640_a.json")
    return folder


# SeFa


class _Known(Generator):
    """A first layer with known singular vectors, behind which labels are appended."""

    def __init__(self):
        super().__init__(8, 1, 5, num_classes=2)
        self.layer = torch.nn.Linear(7, 64)
        left, _ = torch.linalg.qr(torch.randn(64, 5))
        self.right, _ = torch.linalg.qr(torch.randn(5, 5))
        self.strengths = torch.tensor([9.0, 5.0, 3.0, 2.0, 1.0])
        with torch.no_grad():
            self.layer.weight[:, :5] = left @ torch.diag(self.strengths) @ self.right.T
            self.layer.weight[:, 5:] = 100.0

    def forward(self, z, y=None):
        one_hot = torch.nn.functional.one_hot(y, 2).to(z)
        return torch.tanh(self.layer(torch.cat([z, one_hot], dim=1))).view(-1, 1, 8, 8)


def test_sefa_finds_the_singular_vectors_of_the_latents_part():
    torch.manual_seed(0)
    network = _Known()
    torch.testing.assert_close(first_layer(network), network.layer.weight[:, :5].detach())
    directions, values = sefa(network, 5)
    torch.testing.assert_close(values, network.strengths.square(), rtol=1e-4, atol=1e-4)
    cosines = (directions @ network.right).abs()
    torch.testing.assert_close(cosines, torch.eye(5), atol=1e-3, rtol=0)
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_sefa_of_a_given_matrix():
    class Rows(Generator):
        def __init__(self):
            super().__init__((2, 2), 1, 2)
            self.layer = torch.nn.Linear(2, 4, bias=False)
            weight = torch.tensor([[1, 2], [0, 1], [1, 0], [2, -0.5]])
            self.layer.weight = torch.nn.Parameter(weight)

        def forward(self, z, y=None):
            return self.layer(z).view(-1, 1, 2, 2)

    directions, values = sefa(Rows(), 2)
    assert values.tolist() == pytest.approx([6.693000, 4.556999], abs=1e-4)
    assert directions[0].tolist() == pytest.approx([0.821926, 0.569595], abs=1e-4)


@pytest.mark.parametrize("name", ["dcgan", "mlp", "resnet"])
def test_the_first_direction_moves_images_more_than_the_last(name, tmp_path):
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt", name, num_classes=3))
    directions, values = sefa(model.generator, 12)
    torch.testing.assert_close(directions @ directions.T, torch.eye(12), atol=1e-4, rtol=0)
    assert (values[:-1] >= values[1:]).all()
    z, y = model.draw(8, label=1)
    still = model.generate(z, y)

    def change(direction):
        return (model.generate(z + direction, y) - still).square().mean()

    assert change(directions[0]) > change(directions[-1]) > 0


def test_sefa_without_such_a_layer_is_refused():
    class Plain(Generator):
        def __init__(self):
            super().__init__(8, 1, 64)
            self.gain = torch.nn.Parameter(torch.ones(()))

        def forward(self, z, y=None):
            return self.gain * z.view(-1, 1, 8, 8)

    with pytest.raises(ZooError, match="Plain has none"):
        sefa(Plain(), 2)
    with pytest.raises(ZooError, match="directions=6"):
        sefa(_Known(), 6)


# Against real images


def test_nearest_is_exact():
    among = torch.randn(300, 6)
    queries = among[[7, 250]] + 1e-3
    distances, rows = nearest(queries, among, 3)
    exact = ((queries[:, None] - among[None]) ** 2).sum(-1).sqrt()
    assert rows[:, 0].tolist() == [7, 250]
    torch.testing.assert_close(distances, exact.sort().values[:, :3], atol=1e-4, rtol=1e-4)
    with pytest.raises(ZooError, match="neighbours=301"):
        nearest(queries, among, 301)


def test_neighbour_grid_shows_a_copy_beside_itself():
    real = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    fake = real[[11, 30]]
    flat = [images.flatten(1).float() for images in (fake, real)]
    picture, distances = neighbour_grid(fake, real, *flat, k=2)
    assert distances[:, 0].max() == 0
    cell = (picture.width - 2) // 3
    top = picture.height - 2 * cell
    for row in range(2):
        y = top + row * cell
        assert (
            picture.crop((2, y, 2 + 64, y + 64)).tobytes()
            == picture.crop((2 + cell, y, 2 + cell + 64, y + 64)).tobytes()
        )


def test_spectrum_of_a_wave_is_one_peak_and_of_noise_is_flat():
    x = torch.arange(32)
    wave = torch.cos(2 * math.pi * 6 * x / 32).expand(4, 1, 32, 32)
    frequency, power = spectrum(to_uint8(wave))
    assert power.argmax().item() == 5
    assert frequency[5].item() == 6 / 32
    assert power[5] > 1000 * power[[0, 1, 2, 8, 10]].max()
    noise = torch.randint(0, 256, (400, 1, 32, 32), dtype=torch.uint8)
    _, flat = spectrum(noise)
    variance = to_float(noise).var().item()  # Parseval: white noise has its variance everywhere
    torch.testing.assert_close(flat, torch.full_like(flat, variance), rtol=0.05, atol=0)


def test_tsne_keeps_two_groups_apart():
    points = torch.cat([torch.randn(60, 8), torch.randn(60, 8) + 30])
    placed = tsne(points, perplexity=10)
    first, second = placed[:60], placed[60:]
    apart = (first.mean(0) - second.mean(0)).norm()
    assert apart > 2 * max(first.std(), second.std())
    with pytest.raises(ZooError, match="perplexity"):
        tsne(points[:5])


def test_curves_leave_gaps_out(run):
    curves = read_metrics(run, over="images_seen")
    assert curves == {"loss_d": ([64, 128], [1.2, 1.0]), "loss_g": ([64], [0.7])}


def test_a_curve_of_one_point_is_seen(tmp_path):
    def ink(curves):
        return np.asarray(Image.open(plot_curves(curves, tmp_path / "a.png")).convert("L")) < 200

    point, none = ink({"loss_d": ([64], [1.2])}), ink({"loss_d": ([64], [float("nan")])})
    height, width = point.shape
    middle = np.s_[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    assert point[middle].sum() > none[middle].sum()


# Grids and the report


def test_interpolation_rows_start_and_end_at_their_latents(run):
    model = zoo.load(run)
    picture = interpolation_grid(model, rows=2, columns=3, seed=5)
    ends, _ = model.draw(4, None, 5)
    expected = to_uint8(model.generate(ends[:2], torch.tensor([0, 1])))
    _assert_starts_with(picture, expected, columns=3)


def _assert_starts_with(picture, expected, columns):
    """The first picture of every row is one of `expected` (rows, 1, 28, 28)."""
    scale, left = 2, picture.width - columns * (2 * 28 + 2)
    for row, image in enumerate(expected):
        corner = (left, 2 + row * (28 * scale + 2))
        cell = picture.crop((*corner, corner[0] + 28 * scale, corner[1] + 28 * scale))
        small = cell.resize((28, 28), Image.Resampling.NEAREST)
        assert small.tobytes() == bytes(image[0].flatten().tolist())


def test_class_grid_starts_with_its_classes_and_needs_some(run, tmp_path):
    model = zoo.load(run)
    z, _ = model.draw(2)
    expected = to_uint8(model.generate(z, torch.tensor([0, 1])))
    _assert_starts_with(class_grid(model, rows=2, columns=3), expected, columns=3)
    plain = zoo.load(make_checkpoint(tmp_path / "a.ckpt", num_classes=0))
    with pytest.raises(ZooError, match="conditional"):
        class_grid(plain)


def test_explore_writes_every_picture_and_one_offline_report(run, tmp_path):
    summary = Explore(ckpt=str(run), n=60, n_real=300, directions=3)(tmp_path)
    assert "left out" not in summary
    for name in PICTURES:
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 100
    report = summary["report"].read_text()
    assert report.count("data:image/png;base64,") == len(PICTURES)
    assert "<li>epoch 3: D is &lt;saturated&gt;</li>" in report
    assert "12.35" in report
    assert "99.5" not in report, "figures of another checkpoint"
    assert "the weights_hash" in report
    # Nothing is fetched: every source is inside the file.
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", report)
    assert "<script" not in report
    assert "@import" not in report


def test_explore_says_why_a_section_is_missing(tmp_path):
    ckpt = make_checkpoint(tmp_path / "a.ckpt", num_classes=0)
    content = torch.load(ckpt, weights_only=True)
    content["zoo"]["data"]["name"] = "<my pictures>"
    torch.save(content, ckpt)
    summary = Explore(ckpt=str(ckpt), n=4)(tmp_path / "out")
    for name in ("classes", "neighbours", "tsne", "spectrum", "scores", "curves", "diagnostics"):
        assert f"{name} (" in summary["left out"]
    assert "&lt;my pictures&gt;" in summary["report"].read_text()
    assert "<my pictures>" not in summary["report"].read_text()
    assert (tmp_path / "out" / "sefa.png").exists()


def test_explore_by_pixels_and_single_sections(run, tmp_path):
    task = Explore(ckpt=str(run), sections=["neighbours"], features="pixels", n=4, n_real=50)
    task(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["neighbours.png", "report.html"]
    assert "by pixels" in (tmp_path / "report.html").read_text()


def test_real_images_are_drawn_from_all_of_a_sorted_data_set(run, monkeypatch):
    model = zoo.load(run)
    sorted_by_class = SimpleNamespace(
        name="folder",
        split=lambda split: (
            torch.zeros(1000, 1, 28, 28, dtype=torch.uint8),
            torch.arange(1000) // 100,
        ),
    )
    monkeypatch.setattr(model, "dataset", lambda *given: sorted_by_class)
    given = [Explore(n=2, n_real=200, seed=s)._options() for s in (0, 0, 1)]
    labels = [Makers(options, model, run).real()[1] for options in given]
    assert labels[0].unique().tolist() == list(range(10))
    assert torch.equal(labels[0], labels[1])
    assert not torch.equal(labels[0], labels[2])


def test_another_data_set_stands_in(tmp_path):
    ckpt = make_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(ckpt, weights_only=True)
    content["zoo"]["data"]["name"] = "mnist"
    torch.save(content, ckpt)
    given = {"ckpt": str(ckpt), "n": 8, "n_real": 60, "data_dir": str(tmp_path / "none")}
    summary = Explore(**given, sections=["spectrum"])(tmp_path / "a")
    assert "dataset=mnist_subset in task=evaluate and task=explore" in summary["left out"]
    summary = Explore(**given, dataset="mnist_subset")(tmp_path / "b")
    assert "scores" not in summary["left out"]
    assert (tmp_path / "b" / "neighbours.png").exists()
    make_checkpoint(ckpt, channels=3)
    with pytest.raises(ZooError, match="has images of 1×16×16, but the generator makes 3×16×16"):
        Explore(**given, dataset="mnist_subset", sections=["spectrum"])(tmp_path / "c")
    with pytest.raises(ZooError, match="dataset=image_folder names no folder"):
        Explore(**given, dataset="image_folder", sections=["sefa"])(tmp_path / "c")
    make_checkpoint(ckpt, num_classes=7)
    summary = Explore(**given, dataset="mnist_subset", sections=["scores"])(tmp_path / "d")
    assert "has 7 classes, but the data set has more" in summary["left out"]


def test_explore_errors(run, tmp_path):
    for options, message in [
        ({}, "needs ckpt="),
        ({"ckpt": str(run), "sections": ["seefa"]}, "no 'seefa'. Did you mean 'sefa'"),
        ({"ckpt": str(run), "features": "pixel"}, "Did you mean 'pixels'"),
        ({"ckpt": str(run), "n": 0}, "n=0"),
        ({"ckpt": str(run), "evaluation": str(tmp_path / "x.json")}, "cannot be read"),
        ({"ckpt": str(tmp_path / "none.ckpt")}, "no checkpoint at"),
    ]:
        with pytest.raises(ZooError, match=message):
            Explore(**options)(tmp_path)


def test_figures_of_files_without_a_run_are_named(run, tmp_path):
    evaluation = run / "evaluations" / "images_000000640_a.json"
    options = {"sections": ["interpolation"], "evaluation": str(evaluation)}
    summary = Explore(ckpt="mnist", **options)(tmp_path)
    assert "99.5" in summary["report"].read_text()


def test_timm_networks_are_feature_networks(run, tmp_path):
    task = Explore(ckpt=str(run), sections=["neighbours"], features="timm/nothing", n=4, n_real=9)
    assert "'nothing': timm" in task(tmp_path)["left out"]


def test_a_checkpoint_outside_of_a_run_takes_nothing_from_others(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(run / "checkpoints" / "last.ckpt", tmp_path / "stray.ckpt")
    shutil.copy(run / "diagnostics.json", tmp_path)
    chosen = ["curves", "diagnostics"]
    summary = Explore(ckpt=str(tmp_path / "stray.ckpt"), sections=chosen)(tmp_path / "out")
    for name in chosen:
        assert (
            f"{name} ({tmp_path}/stray.ckpt is not in the folder checkpoints/"
            in summary["left out"]
        )


def test_results_of_other_weights_and_damaged_ones_are_left_out(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    kept = tmp_path / "run" / "evaluations"
    (good,) = kept.glob("images_000001280*.json")
    content = good.read_text()
    (kept / "images_000001280_b.json").write_text(content.replace('"ema"', '"raw"'))
    (kept / "images_000001280_c.json").write_text(content.replace('"running"', '"standing (4)"'))
    assert [r.figures for r in find_results(zoo.load(tmp_path / "run"))] == [{"fid": 12.345678}]
    raw = zoo.load(tmp_path / "run", weights="raw")
    assert [r.protocol.weights for r in find_results(raw)] == ["raw"]
    good.write_text(content[:50])
    with pytest.warns(UserWarning, match=r"left out: .*images_000001280_a\.json"):
        assert find_results(zoo.load(tmp_path / "run")) == []


def test_findings_that_cannot_be_read_are_left_out_in_words(run, tmp_path):
    assert read_findings(run / "diagnostics.json") == ("epoch 3: D is <saturated>",)
    (tmp_path / "diagnostics.json").write_text('[{"epoch": 3')
    with pytest.raises(ZooError, match=r"diagnostics\.json cannot be read"):
        read_findings(tmp_path / "diagnostics.json")
    ckpt = make_checkpoint(tmp_path / "quiet" / "checkpoints" / "last.ckpt")
    (tmp_path / "quiet" / "metrics.csv").write_text("images_seen,loss_d\n64,1.0\n")
    summary = Explore(ckpt=str(ckpt), sections=["diagnostics"], n=4)(tmp_path / "out")
    assert "found no problems" in summary["report"].read_text()


@pytest.mark.parametrize("name", zoo.list_parts("generator"))
def test_sefa_finds_the_first_layer_of_every_generator(name):
    from helpers_contracts import CLASSES, LATENT, build, classes_of

    part = ("generator", name)
    generator = build(part, classes_of(part, CLASSES)).eval()
    directions, values = sefa(generator, 3)
    assert directions.shape == (3, LATENT)
    torch.testing.assert_close(directions @ directions.T, torch.eye(3), rtol=1e-4, atol=1e-4)
    assert (values.diff() <= 0).all()
