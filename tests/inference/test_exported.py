"""Exported files in the tasks: what they can do, and words for what they cannot."""

from __future__ import annotations

import json
import warnings

import onnx
import pytest
import torch
from helpers import make_checkpoint

import zoo
from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.inference.export import export
from zoo.inference.load import LoadedGenerator
from zoo.metrics.protocol import Result
from zoo.tasks.evaluate import Evaluate
from zoo.tasks.explore import Explore
from zoo.tasks.export import Export
from zoo.tasks.sample import Sample

pytestmark = pytest.mark.filterwarnings("ignore:.*pt2 file can run any code:UserWarning")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-cache"))


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt")


@pytest.fixture(scope="module")
def exported(ckpt, tmp_path_factory):
    """The same generator as .onnx and .pt2."""
    folder = tmp_path_factory.mktemp("exported")
    model = zoo.load(ckpt)
    for format in ("onnx", "pt2"):
        export(model, folder / f"generator.{format}", format)
    return folder


def measured(ckpt, out, **options):
    Evaluate(ckpt=str(ckpt), metrics=["fid"], n=100, dataset="mnist_subset", **options)(out)
    return Result.from_json((out / "metrics.json").read_text())


# Batch-norm statistics


@pytest.mark.parametrize("format", ["safetensors", "onnx"])
def test_standing_statistics_are_remembered_by_the_file(ckpt, tmp_path, format):
    options = {"standing_statistics": 4, "name": "standing", "format": format}
    Export(ckpt=str(ckpt), **options)(tmp_path)
    file = tmp_path / f"standing.{format}"
    assert zoo.load(file).batch_norm == "standing (4 passes of up to 64 images, seed 0)"
    assert measured(file, tmp_path / "a").protocol.batch_norm.startswith("standing (4 passes")
    assert measured(ckpt, tmp_path / "b").protocol.batch_norm == "running"
    if format == "safetensors":  # exported again, it still says so
        Export(ckpt=str(file), format="safetensors", name="again")(tmp_path)
        assert zoo.load(tmp_path / "again.safetensors").batch_norm.startswith("standing (4 passes")


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_standing_statistics_of_a_program_are_refused(exported, tmp_path, format):
    file = exported / f"generator.{format}"
    with pytest.raises(ZooError, match="standing statistics cannot be computed for an exported"):
        measured(file, tmp_path, standing_statistics=8)
    with pytest.raises(ZooError, match="standing statistics cannot"):
        Sample(ckpt=str(file), n=1, standing_statistics=8)(tmp_path)


def test_without_batch_norms_nothing_is_claimed(tmp_path):
    class Plain(Generator):
        def __init__(self):
            super().__init__(8, 1, 4)
            self.layer = torch.nn.Linear(4, 64)

        def forward(self, z, y=None):
            return self.layer(z).view(-1, 1, 8, 8)

    model = LoadedGenerator(Plain(), {"data": {}}, "raw", tmp_path)
    model.use_standing_statistics(4)
    assert model.batch_norm == "running"


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_protocol_says_in_which_precision_weights_were_stored(ckpt, tmp_path, dtype):
    Export(ckpt=str(ckpt), format="safetensors", dtype=dtype, name="g")(tmp_path)
    result = measured(tmp_path / "g.safetensors", tmp_path / "out")
    assert result.protocol.precision == dtype
    assert f"ema weights in {dtype}," in result.table()


# Tasks


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_walks_between_latents_but_not_between_classes(exported, tmp_path, format):
    task = {"ckpt": str(exported / f"generator.{format}"), "n": 1, "frames": 4, "walk_rows": 2}
    assert Sample(walk="spherical", **task)(tmp_path)["walk"].exists()
    with pytest.raises(ZooError, match="accepts single classes, not mixtures"):
        Sample(walk="classes", **task)(tmp_path)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_explore_leaves_out_what_a_program_does_not_show(exported, tmp_path, format):
    summary = Explore(ckpt=str(exported / f"generator.{format}"), n=40, n_real=60)(tmp_path)
    for name in ("classes", "sefa", "scores", "curves"):
        assert f"{name} (" in summary["left out"]
    for name in ("interpolation", "neighbours", "tsne", "spectrum"):
        assert (tmp_path / f"{name}.png").exists()


def test_evaluate_gives_the_checkpoints_figures(ckpt, exported, tmp_path):
    first = measured(ckpt, tmp_path / "a").figures["fid"]
    assert measured(exported / "generator.onnx", tmp_path / "b").figures["fid"] == pytest.approx(
        first, rel=1e-3
    )


def test_a_warning_comes_before_a_program_is_read(exported, tmp_path):
    with pytest.warns(UserWarning, match=r"generator\.pt2: a \.pt2 file can run any code"):
        zoo.load(exported / "generator.pt2")
    (tmp_path / "a.pt2").write_bytes(b"nothing that can be read")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning):
            zoo.load(tmp_path / "a.pt2")
        with pytest.raises(UserWarning, match="a program for ONNX Runtime"):
            zoo.load(exported / "generator.onnx")


# Priors


class _Uniform(Generator):
    """Latents from a prior of its own."""

    def __init__(self):
        super().__init__(8, 1, 4)
        self.layer = torch.nn.Linear(4, 64)

    def forward(self, z, y=None):
        return torch.tanh(self.layer(z)).view(-1, 1, 8, 8)

    def sample_latent(self, n, generator=None):
        return torch.rand(n, self.latent_dim, generator=generator)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_a_prior_that_the_file_does_not_hold_is_not_guessed(ckpt, tmp_path, format):
    shape = {"image_size": 8, "channels": 1, "latent_dim": 4}
    info = {**zoo.load(ckpt).info, "generator": {"name": "uniform", "options": shape}}
    network = _Uniform().eval()
    file = tmp_path / f"g.{format}"
    export(LoadedGenerator(network, info, "raw", ckpt), file, format)
    again = zoo.load(file)
    z = torch.rand(3, 4)
    torch.testing.assert_close(again.generate(z), network(z).detach(), atol=1e-4, rtol=0)
    with pytest.raises(ZooError, match="from a prior of its own"):
        again.sample(2)


# Doctored files


def _with_metadata(file, path, text):
    model = onnx.load(file)
    (entry,) = [e for e in model.metadata_props if e.key == "zoo"]
    entry.value = text
    onnx.save(model, path)
    return path


def test_descriptions_that_are_damaged_are_one_sentence(exported, tmp_path):
    file = exported / "generator.onnx"
    with pytest.raises(ZooError, match=r"a\.onnx is damaged or not a valid onnx file"):
        zoo.load(_with_metadata(file, tmp_path / "a.onnx", "{no json"))
    info = zoo.load(file).info
    for wrong in (None, "32", True, 0):
        doctored = json.loads(json.dumps(info))
        doctored["generator"]["options"]["image_size"] = wrong
        with pytest.raises(ZooError, match=f"image_size={wrong} in its description.* 1 or more"):
            zoo.load(_with_metadata(file, tmp_path / "b.onnx", json.dumps(doctored)))
