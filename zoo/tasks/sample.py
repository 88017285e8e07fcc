"""`task=sample`: generate images from a checkpoint."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.contracts.task import Run, Task
from zoo.core.atomic import write_text
from zoo.core.errors import ZooError, above, at_least, at_most
from zoo.registry import idle_beside, idle_when, task

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.inference.load import LoadedGenerator

_GRID_ROW = 16  # the largest number of images of one class in the grid
LONGEST_NAME = 180
"""The largest number of bytes of a class's name in a file name, whose length systems limit."""
_GRID_MAX = 256  # the largest number of images in a grid without classes


@task("sample")
class Sample(Task):
    """Write images of a trained generator: single PNGs, a labelled grid, and latent walks.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`; only from a source that you
            trust, because it can run code), the name of a model that comes with the zoo (`mnist`),
            or `hf:owner/name`.
        n: the number of images; per class if `label` names classes.
        label: a class by name or else by index, several of them (`0-3`, `"0,4,7"`, `[0,4]`), or
            `all`; null draws classes at random.
        seed: the seed of everything random.
        seeds: generate one image (per class) for each of these seeds instead of `n` images: `0-15`
            or `"3,7"`.
        refine: a sampler that uses the discriminator to choose latents: one of
            `task=list kind=sampler`, or `{name: mh, steps: 100}`; needs a training checkpoint. It
            does not apply to walks.
        truncation: the threshold for normal latents in standard deviations: 2 is mild, 0.5 strong.
            For generators with styles (StyleGAN, GAT), the factor psi, from 0 for the mean style
            to 1 for no truncation. null truncates nothing.
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
        standing_statistics: the number of forward passes with which batch-norm statistics are
            recomputed; 0 keeps those of training.
        singles: whether to write every image as a file of its own.
        walk: also write an animation that moves between latents, or between the classes of one
            latent.
        walk_points: the number of latents on the path of a walk (a walk between classes passes
            through those of `label`).
        walk_rows: the number of walks side by side.
        frames: the number of frames of the walk.
        fps: frames per second; at most 50 except in mp4, because browsers slow down faster ones.
        walk_format: `gif`, `webp`, `png` (animated) or `mp4` (needs ffmpeg).
        batch_size: the number of images generated at a time.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        n: Annotated[int, at_least(1), idle_beside("seeds")] = 64,
        label: int | str | list[int | str] | None = None,
        seed: int = 0,
        seeds: int | str | list[int] | None = None,
        refine: str | dict[str, Any] | None = None,
        truncation: Annotated[float, at_least(0)] | None = None,
        weights: Literal["ema", "raw"] | None = None,
        standing_statistics: Annotated[int, at_least(0)] = 0,
        singles: bool = True,
        walk: Literal["none", "linear", "spherical", "classes"] = "none",
        walk_points: Annotated[
            int, at_least(2), idle_when(walk="none"), idle_when(walk="classes")
        ] = 6,
        walk_rows: Annotated[int, at_least(1), idle_when(walk="none")] = 4,
        frames: Annotated[int, at_least(2), idle_when(walk="none")] = 60,
        fps: Annotated[float, above(0), at_most(1000), idle_when(walk="none")] = 20.0,
        walk_format: Annotated[
            Literal["gif", "webp", "png", "mp4"], idle_when(walk="none")
        ] = "gif",
        batch_size: Annotated[int, at_least(1)] = 64,
        device: str = "auto",
    ) -> None:
        self.ckpt = ckpt
        self.n = n
        self.label = _as_text(label)
        self.seed = seed
        self.seeds = seeds
        if refine is not None and seeds is not None:
            raise ZooError(
                "refine=… replaces latents by better ones, so seeds=… cannot select them: give "
                "n=… and seed=…"
            )
        self.refine = refine
        self.truncation = truncation
        self.weights = weights
        self.standing_statistics = standing_statistics
        self.singles = singles
        self.walk = walk
        self.walk_points = walk_points
        self.walk_rows = walk_rows
        self.frames = frames
        self.fps = fps
        self.walk_format = walk_format
        self.batch_size = batch_size
        self.device = device

    def run(self, run: Run) -> dict[str, Any]:
        """Write the images into the run's folder, and return a summary with their paths.

        Raises:
            ZooError: there is no such checkpoint, the model does not have a label, or an option is
                out of range.
        """
        from zoo.inference.load import load

        if self.ckpt is None:
            raise ZooError("task=sample needs ckpt=…: a checkpoint, a run's folder, or a name.")
        model = load(self.ckpt, weights=self.weights, device=self.device)
        if self.standing_statistics:
            model.use_standing_statistics(self.standing_statistics, seed=self.seed)
        summary: dict[str, Any] = {"model": repr(model)}
        summary |= self._pictures(model, run.folder)
        if self.walk != "none":
            summary["walk"] = self._walk(model, run.folder)
        return summary

    def _pictures(self, model: LoadedGenerator, out: Path) -> dict[str, Any]:
        """Write the single images and the grid, and return what the command prints about them."""
        import torch

        from zoo.data.pixels import POINT, stored
        from zoo.inference.dataset import modes_of
        from zoo.inference.images import grid, write_png

        z, y, names = self._inputs(model)
        if self.refine is not None:
            refined = model.refiner(self.refine, self.seed, self.batch_size, self.truncation)
            if refined.note:
                print(f"note: {refined.note}")
            z = refined(z, y)
        in_grid = _grid_indices(y, len(z))
        grid_images, points = [], []
        for i, images in _numbered(model, z, y, self.batch_size, self.truncation):
            for j, image in enumerate(stored(images), start=i):
                if (
                    image.shape == POINT
                ):  # a point of the plane, which is drawn only with the others
                    across, up = image.flatten().tolist()
                    points.append(f"{names[j]},{across:.6g},{up:.6g}\n")
                elif self.singles:
                    write_png(image, out / f"{names[j]}.png")
                if j in in_grid:
                    grid_images.append(image)
        rows: list[str] = []
        columns = None
        summary: dict[str, Any] = {"images": len(z)}
        if y is not None and self.label is not None:
            class_names = [model.class_names[c] for c in y.unique_consecutive().tolist()]
            summary["classes"] = textwrap.shorten(", ".join(class_names), 100, placeholder=" …")
            classes, counts = y[sorted(in_grid)].unique_consecutive(return_counts=True)
            if len(classes) > 1 and len(counts.unique()) == 1:  # one class per row
                rows = [model.class_names[c] for c in classes.tolist()]
                columns = int(counts[0])
        if points and self.singles:
            write_text(out / "points.csv", "name,x,y\n" + "".join(points))
            summary["points"] = out / "points.csv"
        picture = grid(torch.stack(grid_images), columns, rows, modes=modes_of(model.data))
        path = write_png(picture, out / "grid.png")
        return summary | {"folder": out, "grid": path}

    def _inputs(self, model: LoadedGenerator) -> tuple[Tensor, Tensor | None, list[str]]:
        """Return the latents, the labels and the file names of the images."""
        from zoo.inference.latents import draw_labels, draw_seeds, parse_integers

        if self.seeds is None:
            z, y = model.draw(self.n, self.label, self.seed)
            stems = [f"{i:05d}" for i in range(len(z))]
        else:
            seeds = parse_integers(str(self.seeds), "seeds")
            y = draw_labels(self.label, len(seeds), model.num_classes, model.class_names, self.seed)
            classes = 1 if y is None else len(y) // len(seeds)
            z = draw_seeds(model.generator, seeds).repeat(classes, 1)
            stems = [f"seed{s:05d}" for s in seeds] * classes
        if y is not None:
            names = file_names(model.class_names)
            stems = [f"{stem}_label{names[c]}" for stem, c in zip(stems, y.tolist(), strict=True)]
        return z, y, stems

    def _walk(self, model: LoadedGenerator, out: Path) -> Path:
        """Write an animation with `walk_rows` walks side by side, and return its path."""
        import torch

        from zoo.inference.dataset import modes_of
        from zoo.inference.images import grid, write_animation
        from zoo.inference.latents import class_weights_allowed, draw_labels, mix_classes, walk

        rows = self.walk_rows
        label = "all" if self.label is None and model.num_classes else self.label
        classes = draw_labels(label, 1, model.num_classes, model.class_names)
        y = None
        if self.walk == "classes":
            if classes is None or len(classes) < 2:
                raise ZooError("walk=classes needs a conditional model and two or more classes.")
            still, _ = model.draw(rows, None, self.seed)
            z = still.repeat(self.frames, 1)
            position = torch.arange(self.frames) * (len(classes) / self.frames)
            start = position.floor().long()
            following = classes[(start + 1) % len(classes)]
            mixes = mix_classes(classes[start], following, position - start, model.num_classes)
            y = mixes.repeat_interleave(rows, dim=0)
        else:
            how: Literal["linear", "spherical"] = "linear" if self.walk == "linear" else "spherical"
            points, _ = model.draw(self.walk_points * rows, None, self.seed)
            paths = [walk(p, self.frames, how) for p in points.chunk(rows)]
            z = torch.stack(paths, dim=1).flatten(0, 1)
            if classes is not None:  # one class per walk
                y = classes[torch.arange(rows) % len(classes)].repeat(self.frames)
        with class_weights_allowed(model.generator) if self.walk == "classes" else nullcontext():
            images = model.generate(z, y, self.batch_size, self.truncation)
        modes = modes_of(model.data)
        pictures = [grid(frame, columns=rows, modes=modes) for frame in images.split(rows)]
        return write_animation(pictures, out / f"walk_{self.walk}.{self.walk_format}", self.fps)


def _as_text(label: int | str | Sequence[int | str] | None) -> str | list[str] | None:
    """Convert labels to strings: Hydra reads the name of a class such as `5` as an integer."""
    if label is None or isinstance(label, str):
        return label
    return [str(c) for c in label] if isinstance(label, Sequence) else str(label)


def file_names(class_names: Sequence[str]) -> list[str]:
    """Return the names of classes in a form that file names can contain.

    Names that would become the same get their index as a suffix. So do names that differ only in
    case, which some file systems ignore.
    """
    names = [re.sub(r"[^\w.-]+", "_", name)[:60] or "_" for name in class_names]
    names = [name.encode()[:LONGEST_NAME].decode(errors="ignore") for name in names]
    count = Counter(name.casefold() for name in names)
    return [n if count[n.casefold()] == 1 else f"{n}_{i}" for i, n in enumerate(names)]


def _grid_indices(y: Tensor | None, n: int) -> set[int]:
    """Return the indices of the images in the grid: the first ones of every class."""
    if y is None or len(y.unique_consecutive()) == n:
        return set(range(min(n, _GRID_MAX)))
    counts = y.unique_consecutive(return_counts=True)[1].tolist()
    if len(counts) == 1 or len(set(counts)) > 1:  # one class, or classes drawn at random
        return set(range(min(n, _GRID_MAX)))
    starts = range(0, n, counts[0])
    return {i + j for i in starts for j in range(min(counts[0], _GRID_ROW))}


def _numbered(
    model: LoadedGenerator,
    z: Tensor,
    y: Tensor | None,
    batch_size: int,
    truncation: float | None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield batches of images with the index of their first one; long runs show a progress bar."""
    from tqdm import tqdm

    done = 0
    with tqdm(total=len(z), desc="sampling", unit="image", disable=len(z) <= 1000) as bar:
        for images in model.batches(z, y, batch_size, truncation):
            yield done, images
            done += len(images)
            bar.update(len(images))
