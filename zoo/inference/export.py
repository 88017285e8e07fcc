"""Export trained generators for deployment, as ONNX, torch.export or safetensors, and check them.

ONNX and torch.export files take `z` (N, latent_dim) float32; `labels` (N,) int64 if the model is
conditional; and `truncation`, a float32 scalar, if the model supports it: a threshold for normal
latents (5 or more is no truncation), or the factor of styles from 0 to 1 (1 is no truncation). They
return `images` (N, C, H, W) float32 in [-1, 1] for any N, and refuse labels outside the classes.
Every file contains the checkpoint's description as JSON, so that `zoo.load` can read it back.
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
"""The largest difference allowed between an exported model's images and the model's own."""


class Deployable(nn.Module):
    """A generator as a function of plain tensors, which is what ONNX and .pt2 files contain.

    Args:
        generator: the generator, prepared by `frozen`.
    """

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
        """Generate images (N, C, H, W) from the tensors that `inputs` names, in that order."""
        tensors = dict(zip(self.inputs, args, strict=True))
        z, y = tensors["z"], tensors.get("labels")
        if y is not None:
            y = self.checked(y)
        if "truncation" in tensors:
            amount = tensors["truncation"]
            images = truncated_images(self.generator, self.latent, z, y, amount)
        else:
            images = self.generator(z, y)
        return images if self.generator.bounded else images.clamp(-1, 1)

    def checked(self, labels: Tensor) -> Tensor:
        """Return the labels unchanged; one outside the classes makes every runtime fail.

        Without this, ONNX Runtime would generate an image of no class (a one-hot vector of zeros)
        or of another one (negative indices count from the end). Indices outside a table, to which
        this maps all wrong labels, make it fail.
        """
        outside = torch.full_like(labels, self.generator.num_classes)
        return self.classes.index_select(0, torch.where(labels < 0, outside, labels))

    def example(self, n: int, seed: int = 0, truncation: float | None = None) -> tuple[Tensor, ...]:
        """Return random inputs for `n` images."""
        random = torch.Generator().manual_seed(seed)
        values = {"z": self.generator.sample_latent(n, random)}
        classes = max(self.generator.num_classes, 1)
        values["labels"] = torch.randint(classes, (n,), generator=random)
        amount = self.no_truncation if truncation is None else truncation
        values["truncation"] = torch.tensor(amount)
        return tuple(values[name] for name in self.inputs)


def export(
    model: LoadedGenerator, path: Path, format: Format = "onnx", dtype: Dtype = "fp32"
) -> dict[str, Any]:
    """Write `model` to `path`, and compare the images of the file with those of the model.

    Args:
        model: the model to export.
        path: the file to write; its folder is created if necessary.
        format: `onnx`, `pt2` or `safetensors`.
        dtype: the data type of the stored weights, for safetensors only.

    Returns:
        `file`, `bytes`, `max_difference` on the scale [-1, 1], and for programs the names of their
        `inputs` and `outputs`.

    Raises:
        ZooError: a package is missing, the network cannot be exported, the file cannot be written,
            or its images differ from the model's by more than `TOLERANCE`.
    """
    if format not in ("onnx", "pt2", "safetensors"):
        raise ZooError(f"format={format} must be onnx, pt2 or safetensors.")
    if dtype != "fp32" and format != "safetensors":
        raise ZooError(f"dtype={dtype} is for format=safetensors; {format} files hold fp32.")
    if dtype not in DTYPES:
        raise ZooError(f"dtype={dtype} must be fp32, fp16 or bf16.")
    if isinstance(model.generator, ExportedGenerator):
        raise ZooError(
            f"{model.file} is an exported program without the network in Python: use the "
            "checkpoint from which it was exported."
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
    """Return the description of an exported file.

    It is the checkpoint's description, extended by the kind of weights and batch-norm statistics,
    the prior (null if the generator draws its latents itself), and what truncation acts on.
    """
    latent = prior(model.generator)
    target = "styles" if moves_styles(model.generator) else "latents"
    return {
        **model.info,
        "weights": model.weights,
        "batch_norm": model.batch_norm,
        "latent": None if latent is None else spec(latent),
        "truncation": target if can_truncate(model.generator) else None,
    }


def frozen(generator: Generator) -> Generator:
    """Return a copy on the CPU in eval mode, with parametrized weights replaced by their values."""
    copied = copy.deepcopy(generator).cpu().float().eval().requires_grad_(False)
    for module in list(copied.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)
    return copied


def _write_safetensors(model: LoadedGenerator, path: Path, dtype: Dtype) -> float:
    """Write a safetensors file, and return the largest difference of its images."""
    write_generator(path, description(model), model.generator.state_dict(), dtype)
    written = load(path)
    z, y = model.draw(8, seed=1)
    difference = (written.generate(z, y) - model.generate(z, y)).abs().max().item()
    if dtype == "fp32" and model.device.type == "cpu":
        _check(difference, path)
    return difference


def _write_program(model: LoadedGenerator, path: Path, format: Format) -> float:
    """Write an ONNX or .pt2 file, and return the largest difference of its images."""
    deployable = Deployable(frozen(model.generator)).eval()
    args = deployable.example(2)
    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({} if name == "truncation" else {0: batch} for name in deployable.inputs)
    info = json.dumps(description(model))
    if format == "onnx":
        require("export", "format=onnx", "onnx", "onnxscript", "onnxruntime")
    try:
        with quiet(), torch.no_grad():
            # Strict tracing keeps len(z) as a variable; non-strict tracing would make it constant.
            program = torch.export.export(deployable, args, dynamic_shapes=(shapes,), strict=True)
            if format == "pt2":
                content = io.BytesIO()  # torch's own file writer hides errors of the disk
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
    except Exception as error:  # the exporters raise many types of errors
        reason = " ".join(str(error).split())[:300]
        raise ZooError(
            f"the generator {model.info['generator']['name']!r} cannot be exported as {format}: "
            f"{type(error).__name__}: {reason}"
        ) from error
    run = onnx_runner(path)[1] if format == "onnx" else pt2_runner(path)[1]
    difference = 0.0
    for n, truncation in ((1, None), (5, 0.8)):
        inputs = deployable.example(n, seed=n, truncation=truncation)
        with torch.inference_mode():
            expected = deployable(*inputs)
        actual = run(dict(zip(deployable.inputs, inputs, strict=True)))
        difference = max(difference, (actual - expected).abs().max().item())
    _check(difference, path)
    return difference


def _check(difference: float, path: Path) -> None:
    """Raise an error if the difference of the images is too large."""
    if not difference <= TOLERANCE:  # this form also catches NaN
        raise ZooError(
            f"{path} was written, but its images differ from the model's by up to {difference:.2g} "
            f"(allowed: {TOLERANCE:g}): do not deploy it."
        )
