"""What one process trained, new processes load, sample from, export and evaluate."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap

import pytest

from zoo.registry import list_parts
from zoo.registry.places import ROOT

TABLED = '''
import torch
from torch import nn

from zoo import Generator, generator

TABLE = torch.tensor([0.25, 0.5])

@generator("tabled")
class Tabled(Generator):
    """Dots, brighter by what stands at the top of the file."""

    def __init__(self, image_size: int, channels: int, latent_dim: int, num_classes: int = 0):
        super().__init__(image_size, channels, latent_dim, num_classes)
        self.register_buffer("shift", TABLE * 2, persistent=False)
        self.layer = nn.Linear(latent_dim, channels * image_size**2)

    def forward(self, z, y=None):
        x = self.layer(z).view(len(z), self.channels, self.image_size, self.image_size)
        return (x + self.shift.sum()).tanh()
'''

TRAIN = """
import json, sys
from pathlib import Path
import pytorch_lightning as pl
import zoo
from helpers_contracts import build, image_size
from zoo.training.build import describe_data

quiet = {name: False for name in ("logger", "enable_checkpointing", "enable_progress_bar",
                                  "enable_model_summary")}
sizes = {}
for name in zoo.list_parts("generator"):
    size = sizes[name] = image_size(("generator", name))
    options = {"image_size": size, "train_val_test_split": [64, 0, 32], "batch_size": 4}
    data = zoo.create("datamodule", "mnist_subset", **options)
    networks = [
        build(("generator", name), 10, size, 1), build(("discriminator", "mlp"), 10, size, 1)
    ]
    gan = zoo.GAN(*networks, zoo.create("loss", "bce"), data=describe_data(data, options))
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, **quiet)
    trainer.fit(gan, datamodule=data)
    trainer.save_checkpoint(f"{sys.argv[1]}/{name}.ckpt")
(Path(sys.argv[1]) / "sizes.json").write_text(json.dumps(sizes))
"""

USE = """
import json, os, sys, traceback
from pathlib import Path
import onnxruntime, onnxscript, pytorch_lightning, torch, torch_fidelity, torchvision

def use(file, out):
    import zoo
    zoo.create("task", "sample", ckpt=str(file), n=2)(out)
    zoo.create("task", "export", ckpt=str(file))(out)
    zoo.create("task", "evaluate", ckpt=str(file), n=20, metrics=["fid"])(out)
    model = zoo.load(file)
    assert model.sample(3, label=1).isfinite().all()
    model.discriminator()

def count(file, out):  # as one counts the parameters of a network without making it
    import zoo
    size = json.loads((file.parent / "sizes.json").read_text())[file.stem]
    with torch.device("meta"):
        zoo.create("generator", file.stem, image_size=size, channels=1, latent_dim=8, num_classes=0)
    zoo.load(file)

statuses = {}
for file in sorted(Path(sys.argv[1]).glob("*.ckpt")):
    for task in (use, count):
        process = os.fork()
        if not process:
            try:
                task(file, file.with_suffix(""))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        statuses[f"{file.stem} {task.__name__}"] = os.waitpid(process, 0)[1]
(Path(sys.argv[1]) / "statuses.json").write_text(json.dumps(statuses))
"""


def run(script: str, *arguments: object, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def used(tmp_path_factory) -> tuple[dict[str, int], str]:
    """The exit status of each use of each generator, and what they said on the way."""
    folder = tmp_path_factory.mktemp("fresh")
    plugins = tmp_path_factory.mktemp("plugins")
    (plugins / "tabled.py").write_text(TABLED)
    run(TRAIN, folder, ZOO_PLUGINS=str(plugins))
    said = run(USE, folder, ZOO_PLUGINS=str(plugins), ZOO_CACHE=str(folder / "cache"))
    return json.loads((folder / "statuses.json").read_text()), said


@pytest.mark.parametrize("name", [*list_parts("generator"), "tabled"])
def test_every_generator_is_used_in_new_processes(used, name):
    statuses, said = used
    uses = {use: status for use, status in statuses.items() if use.split()[0] == name}
    assert len(uses) == 2
    assert not any(uses.values()), f"{uses}\n{said}"


FACTORIES = {
    "tensor",
    "zeros",
    "ones",
    "full",
    "empty",
    "eye",
    "arange",
    "linspace",
    "randn",
    "rand",
}


@pytest.mark.parametrize("file", sorted((ROOT / "zoo").rglob("*.py")), ids=lambda f: f.stem)
def test_tensors_of_a_module_name_their_device(file):
    """Those at its top are made once, and may not depend on who imports it first."""
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
            for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
                owner, _, name = ast.unparse(call.func).partition(".")
                if owner == "torch" and name in FACTORIES:
                    assert "device" in {k.arg for k in call.keywords}, ast.unparse(node)
