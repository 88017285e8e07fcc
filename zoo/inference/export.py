"""Trained generators as files for deployment: ONNX, torch.export and safetensors, each checked.

ONNX and torch.export files take `z` (N, latent_dim) float32, `labels` (N,) int64 where the model is
conditional, and `truncation` where there is one, a float32 scalar: a threshold on normal latents (5
or more is none), or the factor of styles from 0 to 1 (1 is none). They give `images` (N, C, H, W)
float32 in [-1, 1], for any N, and refuse a label that is no class. Every file carries the
checkpoint's description as JSON, so that `zoo.load` reads it back.
"""

from __future__ import annotations

import copy
import io
import json
import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from zoo.contracts.generator import Generator
from zoo.core.atomic import replacing
from zoo.core.errors import ZooError
from zoo.core.extras import require
from zoo.inference.exported import ExportedGenerator, onnx_runner, pt2_runner, quiet
from zoo.inference.files import DTYPES, write_generator
from zoo.inference.load import LoadedGenerator, load
from zoo.inference.truncation import can_truncate, moves_styles, prior, truncated_images
from zoo.registry.spec import spec

Format = Literal["onnx", "pt2", "safetensors"]
Dtype = Literal["fp32", "fp16", "bf16"]

TOLERANCE = 1e-4
"""Largest difference that an exported image may have from the model's, on the scale [-1, 1]."""


class Deployable(nn.Module):
    """A generator as one function of plain tensors: what is written into ONNX and .pt2 files."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.inputs = ["z"]
        self.classes: Tensor
        if generator.num_classes:
            self.inputs.append("labels")
        if can_truncate(generator):
            self.inputs.append("truncation")
        self.latent = None if moves_styles(generator) else prior(generator)
        self.no_truncation = 1.0 if moves_styles(generator) else math.inf
        self.register_buffer("classes", torch.arange(generator.num_classes), persistent=False)

    def forward(self, *args: Tensor) -> Tensor:
        given = dict(zip(self.inputs, args, strict=True))
        z, y = given["z"], given.get("labels")
        if y is not None:
            y = self.known(y)
        if "truncation" in given:
            amount = given["truncation"]
            images = truncated_images(self.generator, self.latent, z, y, amount)
        else:
            images = self.generator(z, y)
        return images if self.generator.bounded else images.clamp(-1, 1)

    def known(self, labels: Tensor) -> Tensor:
        """The labels as they are; one that is no class ends the program, wherever it runs.

        Without it ONNX Runtime makes an image of no class (a one-hot vector of zeros), or of
        another one (negative indices count from the end). It refuses what lies outside of a table.
        """
        outside = torch.full_like(labels, self.generator.num_classes)
        return self.classes.index_select(0, torch.where(labels < 0, outside, labels))

    def example(self, n: int, seed: int = 0, truncation: float | None = None) -> tuple[Tensor, ...]:
        """Inputs for `n` images."""
        random = torch.Generator().manual_seed(seed)
        given = {"z": self.generator.sample_latent(n, random)}
        classes = max(self.generator.num_classes, 1)
        given["labels"] = torch.randint(classes, (n,), generator=random)
        given["truncation"] = torch.tensor(self.no_truncation if truncation is None else truncation)
        return tuple(given[name] for name in self.inputs)


def export(
    model: LoadedGenerator, path: Path, format: Format = "onnx", dtype: Dtype = "fp32"
) -> dict[str, Any]:
    """Write `model` to `path` and check the file against it.

    Args:
        path: the file to write; its folder is made.
        dtype: of the stored weights, for safetensors only.

    Returns:
        `file`, `bytes`, `max_difference` on the scale [-1, 1], and what the file takes and gives.

    Raises:
        ZooError: a package is missing, the network cannot be exported, or the file's images are
            further than `TOLERANCE` from the model's.
    """
    if format not in ("onnx", "pt2", "safetensors"):
        raise ZooError(f"format={format} must be onnx, pt2 or safetensors.")
    if dtype != "fp32" and format != "safetensors":
        raise ZooError(f"dtype={dtype} is for format=safetensors; {format} files hold fp32.")
    if dtype not in DTYPES:
        raise ZooError(f"dtype={dtype} must be fp32, fp16 or bf16.")
    if isinstance(model.generator, ExportedGenerator):
        raise ZooError(
            f"{model.file} is an exported file, without the network in Python: take the "
            "checkpoint that it was made from."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if format == "safetensors":
            difference = _write_safetensors(model, path, dtype)
        else:
            difference = _write_program(model, path, format)
    except OSError as error:
        raise ZooError(f"cannot write {path}: {error.strerror or error}.") from error
    summary = {"file": path, "bytes": path.stat().st_size, "max_difference": difference}
    if format != "safetensors":
        inputs = Deployable(model.generator).inputs
        summary["inputs"], summary["outputs"] = ", ".join(inputs), "images"
    return summary


def description(model: LoadedGenerator) -> dict[str, Any]:
    """What an exported file says of itself: the checkpoint's description and what was exported.

    Beside it stand the prior, null where the generator draws its latents itself, and what its
    truncation works on.
    """
    latent = prior(model.generator)
    works_on = "styles" if moves_styles(model.generator) else "latents"
    return {
        **model.info,
        "weights": model.weights,
        "batch_norm": model.batch_norm,
        "latent": None if latent is None else spec(latent),
        "truncation": works_on if can_truncate(model.generator) else None,
    }


def frozen(generator: Generator) -> Generator:
    """A copy on the CPU in eval mode, with parametrized weights replaced by their values."""
    copied = copy.deepcopy(generator).cpu().float().eval().requires_grad_(False)
    for module in list(copied.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)
    return copied


def _write_safetensors(model: LoadedGenerator, path: Path, dtype: Dtype) -> float:
    write_generator(path, description(model), model.generator.state_dict(), dtype)
    written = load(path)
    z, y = model.draw(8, seed=1)
    difference = (written.generate(z, y) - model.generate(z, y)).abs().max().item()
    if dtype == "fp32" and model.device.type == "cpu":
        _check(difference, path)
    return difference


def _write_program(model: LoadedGenerator, path: Path, format: Format) -> float:
    deployable = Deployable(frozen(model.generator)).eval()
    args = deployable.example(2)
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({} if name == "truncation" else {0: batch} for name in deployable.inputs)
    info = json.dumps(description(model))
    if format == "onnx":
        require("export", "format=onnx", "onnx", "onnxscript", "onnxruntime")
    try:
        with quiet(), torch.no_grad():
            # Strict tracing reads len(z) as the batch size; the other kind would fix its value.
            program = torch.export.export(deployable, args, dynamic_shapes=(shapes,), strict=True)
            if format == "pt2":
                content = io.BytesIO()  # torch's writer hides what is wrong with a disk
                torch.export.save(program, content, extra_files={"zoo.json": info})
                with replacing(path) as partial:
                    partial.write_bytes(content.getbuffer())
            else:
                converted = torch.onnx.export(
                    program,
                    args,
                    input_names=deployable.inputs,
                    output_names=["images"],
                    verbose=False,
                    dynamo=True,
                )
                assert converted is not None
                converted.model.metadata_props["zoo"] = info
                with replacing(path) as partial:
                    converted.save(partial, external_data=False)
    except OSError:
        raise
    except Exception as error:  # the exporters raise whatever they meet
        reason = " ".join(str(error).split())[:300]
        raise ZooError(
            f"the generator {model.info['generator']['name']!r} cannot be exported as {format}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    run = onnx_runner(path)[1] if format == "onnx" else pt2_runner(path)[1]
    difference = 0.0
    for n, truncation in ((1, None), (5, 0.8)):
        given = deployable.example(n, seed=n, truncation=truncation)
        with torch.inference_mode():
            expected = deployable(*given)
        actual = run(dict(zip(deployable.inputs, given, strict=True)))
        difference = max(difference, (actual - expected).abs().max().item())
    _check(difference, path)
    return difference


def _check(difference: float, path: Path) -> None:
    if not difference <= TOLERANCE:  # NaN too
        raise ZooError(
            f"{path} was written, but its images differ from the model's by up to {difference:.2g} "
            f"(allowed: {TOLERANCE:g}): do not deploy it."
        )
