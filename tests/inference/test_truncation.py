"""Truncation by the prior or by styles, and priors other than normal, wherever images are made."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from helpers import make_checkpoint
from helpers_train import TINY, start

import zoo
from zoo.core.errors import ZooError
from zoo.explore.latents import class_grid, interpolation_grid
from zoo.explore.serve.studio import Studio, truncation_limit
from zoo.inference.export import TOLERANCE, description, export
from zoo.inference.load import LoadedGenerator
from zoo.inference.truncation import can_truncate, check_truncation, moves_styles, prior
from zoo.metrics.evaluate import LatentSampler
from zoo.registry import REGISTRY, create
from zoo.registry.places import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*pt2 file can run any code:UserWarning")

STYLED = ["stylegan2", "stylegan3", "gat"]


def styled(path, name="stylegan2", num_classes=10):
    """A checkpoint whose mean styles are not the zeros that training starts from."""
    make_checkpoint(
        path,
        name,
        "mlp",
        image_size=64 if name == "stylegan3" else 16,
        num_classes=num_classes,
        ema=False,
        generator_options=REGISTRY.get("generator", name).load().tiny,
    )
    content = torch.load(path, weights_only=True)
    for key, value in content["state_dict"].items():
        if key.endswith("style_mean"):
            value.normal_(generator=torch.Generator().manual_seed(1))
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.load(styled(tmp_path_factory.mktemp("styled") / "a.ckpt"))


@pytest.mark.parametrize("name", STYLED)
def test_styles_move_to_the_mean_of_their_class(name, tmp_path):
    model = zoo.load(styled(tmp_path / "a.ckpt", name))
    network = model.generator
    z, y = model.draw(4, label=[2, 3])
    mean = next(v for k, v in network.named_buffers() if k.endswith("style_mean"))[y]
    with torch.no_grad():
        w = network.map(z, y)
        middle = mean[:, None] if w.dim() == 3 else mean
        expected = network.synthesize(middle + 0.3 * (w - middle), y).clamp(-1, 1)
    images = model.sample(4, label=[2, 3], truncation=0.3)
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        model.sample(4, label=2, truncation=1.0), model.sample(4, label=2), atol=1e-5, rtol=0
    )
    still = model.sample(3, label=2, truncation=0.0)
    assert (still - still[:1]).abs().max() < 1e-5
    for wrong in (2.0, -0.1, float("nan")):
        with pytest.raises(ZooError, match="must be from 0 to 1"):
            model.sample(1, truncation=wrong)


def test_truncation_of_styles_reaches_grids_the_page_and_figures(model):
    for made in (interpolation_grid, class_grid):
        middle = made(model, rows=2, columns=3, truncation=0.0)
        assert middle.tobytes() != made(model, rows=2, columns=3).tobytes()
        assert middle.tobytes() == made(model, rows=2, columns=3, seed=9, truncation=0.0).tobytes()
    studio = Studio([model])
    assert studio.describe_model({"model": "0"})["limit"] == 1
    still = {"truncation": "0", "label": "2"}
    assert studio.render({"seed": "1", **still}) == studio.render({"seed": "2", **still})
    assert studio.render({"truncation": "1"}) == studio.render({})
    y = torch.zeros(5, dtype=torch.long)
    with torch.no_grad():
        given = LatentSampler(model.generator, seed=4, truncation=0.5)(5, y)
        plain = LatentSampler(model.generator, seed=4)(5, y)
    z = model.generator.sample_latent(1000, torch.Generator().manual_seed(4))[:5]
    expected = model.generate(z, y, truncation=0.5)
    torch.testing.assert_close(given.clamp(-1, 1), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(given, plain)


@pytest.mark.parametrize(
    ("name", "format"), [("stylegan2", "onnx"), ("gat", "pt2"), ("stylegan3", "safetensors")]
)
def test_truncation_of_styles_in_exported_files(name, format, tmp_path):
    model = zoo.load(styled(tmp_path / "a.ckpt", name))
    export(model, tmp_path / f"g.{format}", format)
    again = zoo.load(tmp_path / f"g.{format}")
    assert moves_styles(again.generator)
    assert truncation_limit(again.generator) == 1
    for truncation in (None, 0.0, 0.6):
        given = {"n": 3, "label": [1, 4], "truncation": truncation}
        assert (again.sample(**given) - model.sample(**given)).abs().max() <= TOLERANCE
    with pytest.raises(ZooError, match="from 0 to 1"):
        again.sample(2, truncation=2.0)


@pytest.mark.parametrize("latent", ["uniform", "codes"])
def test_another_prior_goes_along_with_every_file(latent, tmp_path):
    file = make_checkpoint(tmp_path / "a.ckpt", "mlp", num_classes=0, latent_dim=14)
    content = torch.load(file, weights_only=True)
    options = {"dim": 14, **({"categorical": [10]} if latent == "codes" else {})}
    content["zoo"]["latent"] = {"name": latent, "options": options}
    torch.save(content, file)
    model = zoo.load(file)
    expected = create("latent", latent, **options).sample(5, torch.Generator().manual_seed(3))
    assert torch.equal(model.draw(5, seed=3)[0], expected)
    for format in ("onnx", "pt2", "safetensors"):
        export(model, tmp_path / f"g.{format}", format)
        again = zoo.load(tmp_path / f"g.{format}")
        assert type(again.generator.latent) is type(model.generator.latent)
        assert (again.sample(5, seed=3) - model.sample(5, seed=3)).abs().max() <= TOLERANCE
        for loaded in (model, again):
            assert truncation_limit(loaded.generator) == 0
            with pytest.raises(ZooError, match="cannot be truncated: leave truncation out"):
                loaded.sample(2, truncation=1.0)


def test_a_generator_from_python_has_a_normal_prior():
    network = create("generator", "mlp", image_size=8, channels=1, latent_dim=4, num_classes=0)
    assert network.latent is None
    assert type(prior(network)).__name__ == "Normal"
    assert can_truncate(network)
    check_truncation(network, 0.5)
    info = description(LoadedGenerator(network, {}, "raw", ROOT))
    assert info["latent"] == {"name": "normal", "options": {"dim": 4}}
    assert info["truncation"] == "latents"


def test_a_prior_of_another_length_is_refused(tmp_path):
    file = make_checkpoint(tmp_path / "a.ckpt", "mlp")
    content = torch.load(file, weights_only=True)
    content["zoo"]["latent"] = {"name": "normal", "options": {"dim": 5}}
    torch.save(content, file)
    with pytest.raises(ZooError, match="latents of length 5 for a generator that takes length 12"):
        zoo.load(file)


USE = """
import json, sys
from pathlib import Path
import zoo

file, out, truncation = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
model = zoo.load(file)
given = {"n": 3, "seed": 2, "truncation": truncation}
expected = model.sample(**given)
print(type(model.generator.latent).__name__)
zoo.create("task", "sample", ckpt=str(file), **given)(out / "pictures")
for format in ("onnx", "pt2", "safetensors"):
    made = zoo.create("task", "export", ckpt=str(file), format=format)(out)
    assert made["max_difference"] <= 1e-4
    again = zoo.load(made["file"])
    assert (again.sample(**given) - expected).abs().max() <= 1e-4
    zoo.create("task", "sample", ckpt=str(made["file"]), **given)(out / format)
"""

TRAINED = {
    "stylegan2": [
        "model/generator=stylegan2",
        "model.generator.base=256",
        "model.generator.max_channels=16",
        "model.generator.style_dim=16",
    ],
    "infogan": [
        "model/generator=infogan",
        "model.generator.base_channels=4",
        "model.generator.hidden=16",
        "model/latent=codes",
        "model.latent_dim=20",
        "model.conditional=false",
    ],
}


@pytest.mark.parametrize(("name", "truncation"), [("stylegan2", 0.5), ("infogan", None)])
def test_from_the_command_line_to_exported_files(name, truncation, tmp_path):
    base = [o for o in TINY if not o.startswith(("model/generator", "model.generator"))]
    chosen = {o.split("=")[0] for o in TRAINED[name]}
    base = [o for o in base if o.split("=")[0] not in chosen]
    steps = ["trainer.max_epochs=-1", "trainer.max_steps=1"]
    base = [o for o in base if not o.startswith(("trainer.max_",))]
    process = start(tmp_path / "run", *base, *steps, *TRAINED[name], tiny=False)
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "run"), str(tmp_path), json.dumps(truncation)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == ("Codes" if name == "infogan" else "Normal")
