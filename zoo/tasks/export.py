"""`task=export`: convert a checkpoint to a file for deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from zoo.contracts.task import Run, Task
from zoo.core.errors import ZooError, at_least
from zoo.registry import task


@task("export")
class Export(Task):
    """Write a trained generator as ONNX, torch.export or safetensors, checked against the model.

    Args:
        ckpt: a checkpoint, a run's folder, the name of a model that comes with the zoo, or
            `hf:owner/name`.
        format: `onnx` (any runtime), `pt2` (PyTorch without this package), or `safetensors`
            (weights with their description, for `zoo.load`).
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
        dtype: the data type of the weights in a safetensors file.
        standing_statistics: the number of forward passes with which batch-norm statistics are
            recomputed first; 0 keeps those of training.
        name: the file's name without its suffix.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        format: Literal["onnx", "pt2", "safetensors"] = "onnx",
        weights: Literal["ema", "raw"] | None = None,
        dtype: Literal["fp32", "fp16", "bf16"] = "fp32",
        standing_statistics: Annotated[int, at_least(0)] = 0,
        name: str = "generator",
    ) -> None:
        self.ckpt = ckpt
        self.format = format
        self.weights = weights
        self.dtype = dtype
        self.standing_statistics = standing_statistics
        self.name = name

    def run(self, run: Run) -> dict[str, Any]:
        """Write the file into the run's folder, and return a summary.

        Raises:
            ZooError: there is no such checkpoint, a package is missing, or the outputs of the file
                differ from the model's.
        """
        from zoo.inference.export import export
        from zoo.inference.load import load

        if self.ckpt is None:
            raise ZooError("task=export needs ckpt=…: a checkpoint, a run's folder, or a name.")
        if not self.name or Path(self.name).name != self.name:
            raise ZooError(f"name={self.name} must be a file's name, without folders.")
        model = load(self.ckpt, weights=self.weights)
        if self.standing_statistics:
            model.use_standing_statistics(self.standing_statistics)
        path = run.folder / f"{self.name}.{self.format}"
        return {"model": repr(model)} | export(model, path, self.format, self.dtype)
