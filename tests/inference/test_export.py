"""Exported files give the model's images, for every generator of the registry."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import make_checkpoint, small_checkpoint
from PIL import Image

import zoo
from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.inference.export import TOLERANCE, Deployable, export
from zoo.inference.exported import onnx_runner, pt2_runner
from zoo.inference.images import to_uint8
from zoo.inference.load import LoadedGenerator
from zoo.layers.truncated_normal import truncate
from zoo.registry import REGISTRY
from zoo.tasks.export import Export

DOCS = Path(zoo.__file__).parent / "inference" / "export.md"


pytestmark = pytest.mark.filterwarnings("ignore:.*pt2 file can run any code:UserWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.load(make_checkpoint(tmp_path_factory.mktemp("ckpt") / "a.ckpt"))


@pytest.fixture(scope="module")
def onnx_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    export(model, path, "onnx")
    return path


@pytest.mark.parametrize("num_classes", [0, 10])
@pytest.mark.parametrize("name", [p.name for p in REGISTRY.parts("generator")])
def test_every_generator_is_the_same_in_onnxruntime(name, num_classes, tmp_path):
    if not num_classes and REGISTRY.get("generator", name).load().requires_labels:
        num_classes = 3
    model = zoo.load(small_checkpoint(tmp_path / "a.ckpt", name, num_classes, channels=3))
    summary = export(model, tmp_path / "g.onnx", "onnx")
    assert summary["max_difference"] <= TOLERANCE
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    assert [i.name for i in session.get_inputs()] == Deployable(model.generator).inputs
    z, y = model.draw(6, seed=2)
    inputs = {"z": z.numpy()}
    truncation = 0.8 if "truncation" in Deployable(model.generator).inputs else None
    if truncation is not None:
        inputs["truncation"] = np.array(truncation, dtype=np.float32)
    if y is not None:
        inputs["labels"] = y.numpy()
    (images,) = session.run(["images"], inputs)
    expected = model.sample(6, seed=2, truncation=truncation)
    assert expected.std() > 0.02, "the images have no contrast, so agreeing shows nothing"
    assert np.abs(images - expected.numpy()).max() <= TOLERANCE


@pytest.mark.parametrize("name", [p.name for p in REGISTRY.parts("generator")])
def test_every_generator_is_the_same_in_torch_export(name, tmp_path):
    model = zoo.load(small_checkpoint(tmp_path / "a.ckpt", name))
    export(model, tmp_path / "g.pt2", "pt2")
    again = zoo.load(tmp_path / "g.pt2")
    for n in (1, 4):
        difference = (again.sample(n, label=1, seed=n) - model.sample(n, label=1, seed=n)).abs()
        assert difference.max() <= TOLERANCE


def test_onnx_file_reads_back_as_a_model(model, onnx_file):
    again = zoo.load(onnx_file)
    assert again.data == model.data
    assert again.weights == "ema"
    options = {"n": 3, "label": [5, 6], "seed": 3, "truncation": 0.7}
    assert (again.sample(**options) - model.sample(**options)).abs().max() <= TOLERANCE
    with pytest.raises(ZooError, match="no raw weights"):
        zoo.load(onnx_file, weights="raw")
    with pytest.raises(ZooError, match="holds only the generator"):
        again.discriminator()
    with pytest.raises(ZooError, match="is an exported program"):
        export(again, onnx_file.with_name("again.onnx"), "onnx")


def test_labels_and_truncation_are_inputs(model, onnx_file):
    session = onnxruntime.InferenceSession(onnx_file)
    z = model.draw(4)[0].numpy()

    def run(label, truncation):
        inputs = {"z": z, "labels": np.full(4, label), "truncation": np.float32(truncation)}
        inputs["truncation"] = np.asarray(inputs["truncation"])
        return session.run(None, inputs)[0]

    assert np.abs(run(5, math.inf) - run(6, math.inf)).max() > 0.01
    assert np.array_equal(run(5, 5.0), run(5, math.inf))
    # The stronger the truncation, the closer the images of one class are to each other.
    spread = [run(5, t).std(axis=0).mean() for t in (math.inf, 1.0, 0.1)]
    assert spread[0] > spread[1] > spread[2]


def run_script(folder: Path) -> np.ndarray:
    """Run the script of export.md beside `generator.onnx`; return the picture that it writes."""
    script = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    lines = [line.removeprefix("   ") for line in script.splitlines()]
    assert len([line for line in lines if line.strip() and "import" not in line]) <= 10
    ban = "import sys; sys.modules['torch'] = sys.modules['zoo'] = None\n"
    code = ban + "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(folder / "five.png")).astype(int)


def test_the_script_of_the_docs_writes_a_five_without_torch(onnx_file, model, tmp_path):
    (tmp_path / "generator.onnx").write_bytes(onnx_file.read_bytes())
    written = run_script(tmp_path)
    z = np.random.default_rng(0).standard_normal((1, 12), dtype=np.float32)
    expected = model.generate(truncate(torch.from_numpy(z), 2.0), torch.tensor([5]))
    assert written.shape == (16, 16)
    assert np.abs(written - to_uint8(expected)[0, 0].numpy().astype(int)).max() <= 1


def test_the_script_suits_a_model_with_styles_and_without_classes(tmp_path):
    model = zoo.load(small_checkpoint(tmp_path / "a.ckpt", "stylegan2", 0))
    export(model, tmp_path / "generator.onnx", "onnx")
    shape = (1, model.generator.latent_dim)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    expected = to_uint8(model.generate(z, truncation=0.7))[0].movedim(0, -1).squeeze()
    assert np.abs(run_script(tmp_path) - expected.numpy().astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["dcgan", "resnet"])  # one-hot labels, tables of embeddings
def test_a_label_that_is_no_class_is_refused_by_the_file_itself(name, tmp_path):
    model = zoo.load(small_checkpoint(tmp_path / "a.ckpt", name, 3))
    for format in ("onnx", "pt2"):
        file = tmp_path / f"g.{format}"
        export(model, file, format)
        read = zoo.load(file)
        z, y = model.draw(3, [0, 1, 2])
        assert (read.generate(z[:3], y[:3]) - model.generate(z[:3], y[:3])).abs().max() < TOLERANCE
        whole, real = (read.generate(z, y, truncation=amount) for amount in (2, 2.0))
        assert torch.equal(whole, real)
        run = onnx_runner(file)[1] if format == "onnx" else pt2_runner(file)[1]
        for wrong in (-4, -1, 3, 99):
            labels = torch.tensor([0, wrong])
            given = {"z": z[:2], "labels": labels}
            if "truncation" in Deployable(model.generator).inputs:
                given["truncation"] = torch.tensor(math.inf)
            with pytest.raises(Exception, match=r"(?i)out of|range|bound"):
                run(given)
            with pytest.raises(ZooError, match="must be from 0 to 2"):
                read(z[:2], labels)


@pytest.mark.parametrize(("dtype", "limit"), [("fp32", 0.0), ("fp16", 0.02), ("bf16", 0.2)])
def test_safetensors_round_trip(model, tmp_path, dtype, limit):
    path = tmp_path / "g.safetensors"
    summary = export(model, path, "safetensors", dtype)
    again = zoo.load(path)
    assert (again.sample(4, label=1) - model.sample(4, label=1)).abs().max() <= limit
    assert summary["max_difference"] <= limit
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar == again.info
    assert sidecar["weights"] == "ema"
    assert sidecar["generator"] == model.info["generator"]
    assert next(again.generator.parameters()).dtype == torch.float32
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # who may read it
    if dtype != "fp32":
        full = sum(p.numel() for p in model.generator.parameters()) * 4
        assert path.stat().st_size < 0.6 * full


class _Moody(Generator):
    """Draws its own noise in every forward pass: no file can agree with it."""

    def __init__(self):
        super().__init__(8, 1, 4)
        self.layer = torch.nn.Linear(4, 64)

    def forward(self, z, y=None):
        return torch.tanh(self.layer(z + torch.randn_like(z))).view(-1, 1, 8, 8)


class _Branching(Generator):
    """Looks at its input's values on the host: no program can be traced."""

    def __init__(self):
        super().__init__(8, 1, 4)
        self.layer = torch.nn.Linear(4, 64)

    def forward(self, z, y=None):
        sign = 1 if z.sum().item() > 0 else -1
        return torch.tanh(sign * self.layer(z)).view(-1, 1, 8, 8)


@pytest.mark.parametrize(
    ("network", "message"),
    [(_Moody(), "differ from the model's"), (_Branching(), "cannot be exported as onnx")],
)
def test_a_file_that_would_be_wrong_is_an_error(network, message, model, tmp_path):
    loaded = LoadedGenerator(network.eval(), model.info, "raw", model.file)
    with pytest.raises(ZooError, match=message):
        export(loaded, tmp_path / "wrong.onnx", "onnx")


def test_export_task_and_its_errors(model, tmp_path):
    task = Export(ckpt=str(model.file), format="safetensors", weights="raw", name="five")
    assert task(tmp_path)["file"] == tmp_path / "five.safetensors"
    assert zoo.load(tmp_path / "five.safetensors").weights == "raw"
    for options, message in [
        ({}, "needs ckpt="),
        ({"ckpt": str(model.file), "name": "../up"}, "without folders"),
        ({"ckpt": str(model.file), "dtype": "fp16"}, "for format=safetensors"),
        ({"ckpt": str(model.file), "format": "tflite"}, "is not one of onnx, pt2, safetensors"),
    ]:
        with pytest.raises(ZooError, match=message):
            Export(**options)(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ZooError, match="cannot write"):
        Export(ckpt=str(model.file), format="safetensors")(tmp_path / "file")


def test_damaged_and_foreign_exported_files(tmp_path):
    for name in ("a.onnx", "a.pt2"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ZooError, match="damaged or no"):
            zoo.load(tmp_path / name)
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ZooError, match="not of this zoo"):
        zoo.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (["onnxscript"], "onnxscript, which is"),
        (["onnx", "onnxscript"], "onnx, onnxscript, which are"),
    ],
)
def test_without_the_extra_the_sentence_names_the_command(model, tmp_path, missing, words):
    code = (
        f"import sys; sys.modules |= dict.fromkeys({missing!r})\n"
        "import zoo; from pathlib import Path; from zoo.inference.export import export\n"
        f"export(zoo.load({str(model.file)!r}), Path({str(tmp_path / 'a.onnx')!r}), 'onnx')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"needs {words} not installed: pip install 'gan-zoo[export]'" in done.stderr
