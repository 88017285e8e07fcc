"""`task=project`: the latents of given pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.contracts.task import Run, Task
from zoo.core.errors import ZooError
from zoo.registry import above, at_least, task

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.inference.load import LoadedGenerator
    from zoo.inference.project import Projection


@task("project")
class Project(Task):
    """Find the latents of pictures in a trained generator: the way there, the latents, the error.

    Paper: Karras et al. (2020), arXiv:1912.04958, appendix D.

    Args:
        ckpt: a checkpoint, a run's folder, a name of the embedded zoo (`mnist`), or
            `hf:owner/name`.
        image: a picture, or a list of them; each is cropped to the shape of the model's images and
            resized as `datamodule=image_folder` does.
        label: its class by name, else by index; null takes that of the nearest of the candidates.
        steps: of Adam.
        starts: candidates that are followed; the best one is kept. A generator with noise maps
            follows one, for which the maps are found too.
        candidates: latents drawn at random, of which the nearest are starts.
        lr: largest learning rate.
        features: compare features of EfficientNet-Lite0 beside pixels; null does so where their
            package is installed and images have 32 pixels or more.
        noise: find noise maps too, where the generator has some, and keep them noise.
        seed: of everything random.
        seconds: for each picture, within which the search is drawn together; null for no limit.
        weights: `ema` or `raw`; null takes the averaged ones where there are any.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        image: str | list[str] | None = None,
        label: int | str | None = None,
        steps: Annotated[int, at_least(1)] = 500,
        starts: Annotated[int, at_least(1)] = 4,
        candidates: Annotated[int, at_least(1)] = 1000,
        lr: Annotated[float, above(0)] = 0.1,
        features: bool | None = None,
        noise: bool = True,
        seed: int = 0,
        seconds: Annotated[float, above(0)] | None = None,
        weights: Literal["ema", "raw"] | None = None,
        device: str = "auto",
    ) -> None:
        self.ckpt = ckpt
        self.pictures = [image] if isinstance(image, str) else list(image or [])
        self.label = None if label is None else str(label)
        self.options: dict[str, Any] = {
            "steps": steps,
            "starts": starts,
            "candidates": candidates,
            "lr": lr,
            "features": features,
            "noise": noise,
            "seed": seed,
            "seconds": seconds,
        }
        self.weights = weights
        self.device = device

    def run(self, run: Run) -> dict[str, Any]:
        """Write `way.png`, a picture of each result, and `latents.safetensors`.

        Raises:
            ZooError: no such checkpoint or picture, or a label that the model does not have.
        """
        from zoo.inference.images import to_uint8, write_png
        from zoo.inference.load import load

        if not self.ckpt or not self.pictures or not all(self.pictures):
            raise ZooError("task=project needs ckpt=… and image=…, a picture or a list of them.")
        for name in self.pictures:  # before the model is read, which takes longer
            place = Path(name).expanduser()
            if place.is_dir():
                raise ZooError(
                    f"image={name} is a folder: name its pictures, image=[FILE,FILE], of which all "
                    "are projected together."
                )
            if not place.is_file():
                raise ZooError(f"there is no picture at image={name}")
        model = load(self.ckpt, weights=self.weights, device=self.device)
        targets = self._targets(model)
        found = model.project(targets, self.label, **self.options)
        out = run.folder
        for i, image in enumerate(to_uint8(found.images)):
            write_png(image, out / f"{i:05d}.png")
        summary: dict[str, Any] = {
            "way": write_png(self._way(found), out / "way.png"),
            "latents": found.save(out / "latents.safetensors"),
            "space": found.space,
            "distance": found.distance,
            "error": ", ".join(f"{e:.4g}" for e in found.errors.tolist()),
            "error of the nearest candidate": ", ".join(
                f"{e:.4g}" for e in found.first_errors.tolist()
            ),
        }
        if found.labels is not None:
            summary["class"] = ", ".join(model.class_names[c] for c in found.labels.tolist())
        return summary

    def _targets(self, model: LoadedGenerator) -> Tensor:
        import torch

        from zoo.inference.target import read_target

        paths = [Path(name).expanduser() for name in self.pictures]
        return torch.cat([read_target(model.generator, path) for path in paths])

    def _way(self, found: Projection) -> Any:
        """Every picture's way from left to right, and the picture itself at its end."""
        import torch

        from zoo.inference.images import grid

        rows = torch.cat((found.frames, found.targets[:, None]), dim=1)
        heads = [*[""] * (rows.shape[1] - 2), "found", "target"]
        return grid(rows.flatten(0, 1), rows.shape[1], heads=heads)
