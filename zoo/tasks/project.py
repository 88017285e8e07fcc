"""`task=project`: find the latents of given images."""

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
    """Find the latents from which a trained generator reproduces given images.

    Paper: Karras et al. (2020), arXiv:1912.04958, appendix D.

    Args:
        ckpt: a checkpoint, a run's folder, the name of a model that comes with the zoo (`mnist`),
            or `hf:owner/name`.
        image: an image file, or a list of them; each is cropped to the shape of the model's images
            and resized as `datamodule=image_folder` does.
        label: the images' class by name or else by index; null uses the class of the nearest
            candidate.
        steps: the number of Adam's steps.
        starts: the number of candidates that are optimised, of which the best one is returned. A
            generator with noise maps optimises one, and its noise maps too.
        candidates: the number of random latents, of which those with the nearest images become
            starts.
        lr: the largest learning rate.
        features: whether to compare features of EfficientNet-Lite0 in addition to pixels; null does
            so if their package is installed and images have 32 pixels or more.
        noise: whether to optimise the noise maps too, if the generator has any, while a penalty
            keeps them similar to noise.
        seed: the seed of everything random.
        seconds: the time limit for each image, to which the search is shortened; null for no limit.
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
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
        """Write `way.png`, an image of each result, and `latents.safetensors`.

        Raises:
            ZooError: there is no such checkpoint or image, or the model does not have the label.
        """
        from zoo.inference.images import to_uint8, write_png
        from zoo.inference.load import load

        if not self.ckpt or not self.pictures or not all(self.pictures):
            raise ZooError("task=project needs ckpt=… and image=…, an image file or several.")
        for name in self.pictures:  # check before loading the model, which takes longer
            place = Path(name).expanduser()
            if place.is_dir():
                raise ZooError(
                    f"image={name} is a folder: list its image files instead, image=[FILE,FILE], "
                    "to project them together."
                )
            if not place.is_file():
                raise ZooError(f"there is no image file at image={name}")
        model = load(self.ckpt, weights=self.weights, device=self.device)
        targets = self._targets(model)
        projection = model.project(targets, self.label, **self.options)
        out = run.folder
        for i, image in enumerate(to_uint8(projection.images)):
            write_png(image, out / f"{i:05d}.png")
        summary: dict[str, Any] = {
            "way": write_png(self._way(projection), out / "way.png"),
            "latents": projection.save(out / "latents.safetensors"),
            "space": projection.space,
            "distance": projection.distance,
            "error": ", ".join(f"{e:.4g}" for e in projection.errors.tolist()),
            "error of the nearest candidate": ", ".join(
                f"{e:.4g}" for e in projection.first_errors.tolist()
            ),
        }
        if projection.labels is not None:
            summary["class"] = ", ".join(model.class_names[c] for c in projection.labels.tolist())
        return summary

    def _targets(self, model: LoadedGenerator) -> Tensor:
        """Read the images to be projected, in the shape of the model's images."""
        import torch

        from zoo.inference.target import read_target

        paths = [Path(name).expanduser() for name in self.pictures]
        return torch.cat([read_target(model.generator, path) for path in paths])

    def _way(self, projection: Projection) -> Any:
        """Draw the course of each projection from left to right, followed by its target."""
        import torch

        from zoo.inference.images import grid

        rows = torch.cat((projection.frames, projection.targets[:, None]), dim=1)
        heads = [*[""] * (rows.shape[1] - 2), "found", "target"]
        return grid(rows.flatten(0, 1), rows.shape[1], heads=heads)
