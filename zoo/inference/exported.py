"""Read the zoo's ONNX and torch.export files back, as generators to sample from."""

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
    """An ONNX or .pt2 file as a generator for sampling: a program whose layers are not accessible.

    Args:
        shape: the arguments of the base class.
        run: maps inputs by name to images.
        inputs: the names of the inputs in the program's order.
        moves_styles: whether its truncation is a factor for styles.
    """

    def __init__(
        self, shape: dict[str, Any], run: Runner, inputs: list[str], moves_styles: bool = False
    ) -> None:
        super().__init__(**shape)
        self.moves_styles = moves_styles
        self._run = run
        self._inputs = inputs
        # Code that needs a network's device asks for the device of its parameters.
        self.anchor = nn.Parameter(torch.empty(0), requires_grad=False)

    @property
    def takes_truncation(self) -> bool:
        """Whether the program has an input for the truncation."""
        return "truncation" in self._inputs

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.truncated(z, y, 1.0 if self.moves_styles else math.inf)

    def truncated(self, z: Tensor, y: Tensor | None, amount: float) -> Tensor:
        """Generate images (N, C, H, W) with truncation, which is part of the program."""
        values = {"z": z.cpu(), "labels": y if y is None else y.cpu()}
        if y is not None and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            raise ZooError(
                f"labels of this exported file must be from 0 to {self.num_classes - 1}, but got "
                f"{int(y.min())} to {int(y.max())}."
            )
        values["truncation"] = torch.tensor(float(amount))  # an int would become an int64 tensor
        return self._run({n: v for n in self._inputs if (v := values[n]) is not None}).to(z.device)


class ExportedWithOwnPrior(ExportedGenerator):
    """An exported generator whose own `sample_latent` is not part of the file."""

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        raise ZooError(
            "the generator of this exported file draws its latents from a prior of its own, which "
            "the file does not hold: give latents to generate(z), or load the checkpoint."
        )


def open_exported(file: Path) -> tuple[dict[str, Any], Generator]:
    """Open an `.onnx` or `.pt2` file of the zoo, and return its description and a generator.

    PyTorch unpickles the contents of a .pt2 file and evaluates expressions in it. ONNX Runtime runs
    the program in an .onnx file, without limits of time and memory. A warning about this is issued
    before a file is opened.

    Raises:
        ZooError: a package is missing, or the file is damaged or not from the zoo.
    """
    if file.suffix == ".onnx":
        require("export", f"reading {file.name}", "onnxruntime")
        warnings.warn(
            f"{file}: an .onnx file is a program for ONNX Runtime, which limits neither its time "
            "nor its memory; open only files that you trust.",
            ZooWarning,
            stacklevel=3,
        )
    else:
        warnings.warn(
            f"{file}: a .pt2 file can run any code while it is read; open only files that you "
            "trust (.ckpt and .safetensors files run no code).",
            ZooWarning,
            stacklevel=3,
        )
    try:
        text, run, inputs = onnx_runner(file) if file.suffix == ".onnx" else pt2_runner(file)
        info = json.loads(text) if text else None
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise ZooError(
            f"{file} is damaged or not a valid {file.suffix[1:]} file ({reason})."
        ) from error
    if not text:
        raise ZooError(f"{file} is a valid {file.suffix[1:]} file, but not of this zoo.")
    info = check_info(info, file)
    # Old files do not name their prior, but they support truncation only if it is normal.
    has_prior = info["latent"] is not None if "latent" in info else "truncation" in inputs
    cls = ExportedGenerator if has_prior else ExportedWithOwnPrior
    return info, cls(_shape(info, file), run, inputs, info.get("truncation") == "styles")


def _shape(info: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return the arguments of `Generator` from a description, after checking them."""
    options = {"num_classes": 0, **info["generator"]["options"]}
    shape = {k: options.get(k) for k in ("image_size", "channels", "latent_dim", "num_classes")}
    check_numbers(shape, "generator", file)
    return shape


def onnx_runner(file: Path) -> tuple[str, Runner, list[str]]:
    """Open an `.onnx` file.

    Returns:
        The description as JSON, empty if the file has none; a function that runs the program; and
        the names of its inputs.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Tensor]) -> Tensor:
        (images,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        return torch.from_numpy(images)

    text = session.get_modelmeta().custom_metadata_map.get("zoo", "")
    return text, run, [i.name for i in session.get_inputs()]


def pt2_runner(file: Path) -> tuple[str, Runner, list[str]]:
    """Open a `.pt2` file; the results are those of `onnx_runner`."""
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

    def run(inputs: dict[str, Tensor]) -> Tensor:
        with torch.inference_mode():
            return module(*inputs.values())

    return text, run, inputs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the progress messages and deprecation warnings of the exporters."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
