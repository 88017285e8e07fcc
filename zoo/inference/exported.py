"""Reading ONNX and torch.export files of the zoo back, as generators to sample from."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, ZooWarning
from zoo.core.extras import require
from zoo.inference.describe import check_info, check_numbers

Runner = Callable[[dict[str, Tensor]], Tensor]


class ExportedGenerator(Generator):
    """An ONNX or .pt2 file as a generator, for sampling only: a program without layers to see.

    Args:
        shape: what a generator's base class asks for.
        run: from inputs by name to images.
        inputs: the names in the program's order.
        moves_styles: its truncation is a factor on styles.
    """

    def __init__(
        self, shape: dict[str, Any], run: Runner, inputs: list[str], moves_styles: bool = False
    ) -> None:
        super().__init__(**shape)
        self.moves_styles = moves_styles
        self._run = run
        self._inputs = inputs
        # What asks a network for its device asks its parameters.
        self.anchor = nn.Parameter(torch.empty(0), requires_grad=False)

    @property
    def takes_truncation(self) -> bool:
        return "truncation" in self._inputs

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.truncated(z, y, 1.0 if self.moves_styles else math.inf)

    def truncated(self, z: Tensor, y: Tensor | None, amount: float) -> Tensor:
        """Images (N, C, H, W) under a truncation, which the program makes."""
        given = {"z": z.cpu(), "labels": y if y is None else y.cpu()}
        if y is not None and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            raise ZooError(
                f"labels of {int(y.min())} to {int(y.max())} were given to an exported file whose "
                f"labels are 0 to {self.num_classes - 1}."
            )
        given["truncation"] = torch.tensor(float(amount))  # a whole number is int64
        return self._run({n: v for n in self._inputs if (v := given[n]) is not None}).to(z.device)


class ExportedWithOwnPrior(ExportedGenerator):
    """A file of a generator with a `sample_latent` of its own, which no file holds."""

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        raise ZooError(
            "the generator of this exported file draws its latents from a prior of its own, which "
            "the file does not hold: give latents to generate(z), or load the checkpoint."
        )


def open_exported(file: Path) -> tuple[dict[str, Any], Generator]:
    """The description and a generator of an `.onnx` or `.pt2` file of the zoo.

    PyTorch unpickles what a .pt2 file holds, and evaluates expressions in it; ONNX Runtime carries
    out what an .onnx file says, for as long and with as much memory as that takes. A warning says
    so before either is opened.

    Raises:
        ZooError: a package is missing, or the file is damaged or not of the zoo.
    """
    if file.suffix == ".onnx":
        require("export", f"reading {file.name}", "onnxruntime")
        warnings.warn(
            f"{file}: an .onnx file is a program for ONNX Runtime, which bounds neither its time "
            "nor its memory; open only what you trust.",
            ZooWarning,
            stacklevel=3,
        )
    else:
        warnings.warn(
            f"{file}: a .pt2 file can run any code while it is read; open only what you trust "
            "(.ckpt and .safetensors files run none).",
            ZooWarning,
            stacklevel=3,
        )
    try:
        text, run, inputs = onnx_runner(file) if file.suffix == ".onnx" else pt2_runner(file)
        info = json.loads(text) if text else None
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ZooError(f"{file} is damaged or no {file.suffix[1:]} file ({reason}).") from error
    if not text:
        raise ZooError(f"{file} is a {file.suffix[1:]} file, but not of this zoo.")
    info = check_info(info, file)
    # Before files named their prior, only one for normal latents could truncate them.
    known = info["latent"] is not None if "latent" in info else "truncation" in inputs
    made = ExportedGenerator if known else ExportedWithOwnPrior
    return info, made(_shape(info, file), run, inputs, info.get("truncation") == "styles")


def _shape(info: dict[str, Any], file: Path) -> dict[str, Any]:
    """What a generator's base class asks for."""
    options = {"num_classes": 0, **info["generator"]["options"]}
    shape = {k: options.get(k) for k in ("image_size", "channels", "latent_dim", "num_classes")}
    check_numbers(shape, "generator", file)
    return shape


def onnx_runner(file: Path) -> tuple[str, Runner, list[str]]:
    """The description in an `.onnx` file as JSON, empty without one, its program, its inputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(given: dict[str, Tensor]) -> Tensor:
        (images,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        return torch.from_numpy(images)

    text = session.get_modelmeta().custom_metadata_map.get("zoo", "")
    return text, run, [i.name for i in session.get_inputs()]


def pt2_runner(file: Path) -> tuple[str, Runner, list[str]]:
    """The description in a `.pt2` file as JSON, empty without one, its program, its inputs."""
    extra = {"zoo.json": ""}
    with quiet():
        program = torch.export.load(file, extra_files=extra)
    module = program.module()
    text = extra["zoo.json"]
    info = json.loads(text) if text else {}
    inputs = (
        ["z", "labels"]
        if info.get("generator", {}).get("options", {}).get("num_classes")
        else ["z"]
    )
    if len(program.graph_signature.user_inputs) > len(inputs):
        inputs.append("truncation")

    def run(given: dict[str, Tensor]) -> Tensor:
        with torch.inference_mode():
            return module(*given.values())

    return text, run, inputs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' progress texts and deprecation warnings off the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
