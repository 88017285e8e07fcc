"""A video of the training: the same latents, from noise to pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
from PIL import Image, ImageDraw, ImageFont
from pytorch_lightning.utilities import rank_zero_only

from zoo.inference.images import find_ffmpeg, write_animation, write_png
from zoo.registry import above, at_least, callback
from zoo.training.callbacks.base import Callback
from zoo.training.callbacks.grids import FixedGrid
from zoo.training.callbacks.logs import log_file

_LINE = 18
"""Pixels below a grid, for the words."""
FASTEST = 50
"""Frames a second that are shown of a video, as browsers do."""
FRAMES_MEMORY = 2**29
"""Bytes that the frames of a video take while it is written."""


@callback("video")
class Video(Callback):
    """Writes `video.gif` (or WebP, MP4) at the end: pictures of the same latents form.

    A frame is taken whenever `growth` times as many real images were seen as at the one before, for
    most happens early: about 25 frames for ten times as many images. They are kept as PNG in
    `video/`, so that a training that is continued has one video from its start to its end. Of more
    than can be shown in its time, 50 a second, or held in 512 MB, it takes some at even distances.

    Args:
        folder: the run's folder.
        every_n_images: take a frame whenever n more real images were seen; null for the growing
            distance.
        growth: the factor between the images seen of two frames.
        first: real images seen at the first frame after the start, from which the distance grows.
        seconds: length of the video; its last frame stays for two more.
        format: `gif`, `webp` (a third of the size), or `mp4` where `ffmpeg` is installed.
        rows: rows of the grid.
        columns: columns of an unconditional grid.
        max_classes: columns of a conditional one at most.
        scale: whole factor by which pixels are repeated; null shows small images at 64 pixels.
        seed: of the latents.
    """

    def __init__(
        self,
        folder: str,
        every_n_images: Annotated[int, at_least(1)] | None = None,
        growth: Annotated[float, above(1)] = 1.1,
        first: Annotated[int, at_least(1)] = 256,
        seconds: Annotated[float, above(0)] = 8.0,
        format: Literal["gif", "webp", "mp4"] = "gif",
        rows: Annotated[int, at_least(1)] = 4,
        columns: Annotated[int, at_least(1)] = 8,
        max_classes: Annotated[int, at_least(1)] = 10,
        scale: Annotated[int, at_least(1)] | None = None,
        seed: int = 0,
    ) -> None:
        if format == "mp4":  # now rather than at the end
            find_ffmpeg()
        self.grid = FixedGrid("video", rows, columns, max_classes, seed, scale)
        self.frames = Path(folder) / "video"
        self.file = Path(folder) / f"video.{format}"
        self.every_n_images = every_n_images
        self.growth = growth
        self.first = first
        self.seconds = seconds
        self._due = 0.0

    def summary(self) -> dict[str, Any]:
        return {"video": self.file} if self.file.is_file() else {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        seen = pl_module.images_seen
        if trainer.is_global_zero:
            for frame in self.frames.glob("images_*.png"):
                place = frame.stem.removeprefix("images_")
                if not place.isdecimal() or int(place) > seen:  # which are trained again
                    frame.unlink()
        if not seen:
            self.take(pl_module)
        self._due = self._next(seen)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.images_seen >= self._due:
            self.take(pl_module)
            self._due = self._next(pl_module.images_seen)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.take(pl_module)
        self.write(trainer)

    def _next(self, seen: int) -> float:
        """Images seen at the frame that follows; the same wherever a training is continued."""
        if self.every_n_images is not None:
            return (seen // self.every_n_images + 1) * self.every_n_images
        if seen < self.first:
            return float(self.first)
        passed = math.floor(math.log(seen / self.first) / math.log(self.growth))
        due = self.first * self.growth ** (passed + 1)
        return due if due > seen else due * self.growth  # where the logarithm was rounded

    @rank_zero_only
    def take(self, pl_module: Any) -> None:
        """Keep a frame of what the generator makes now."""
        seen = pl_module.images_seen
        picture = with_line(self.grid.draw(pl_module), f"{seen:,} images seen")
        write_png(picture, self.frames / f"images_{seen:012d}.png")

    @rank_zero_only
    def write(self, trainer: pl.Trainer) -> None:
        """Make the video of the frames there are, and give it to loggers that keep files."""
        files = sorted(self.frames.glob("images_*.png"))
        kinds = {file: kind for file in files if (kind := _kind(file)) is not None}
        # A grid of other rows or another scale, from before a resume, is no frame of this one.
        (width, height), mode = newest = list(kinds.values())[-1]
        files = [file for file, kind in kinds.items() if kind == newest]
        room = FRAMES_MEMORY // (width * height * len(mode))
        pictures = [_read(file) for file in spread(files, min(int(FASTEST * self.seconds), room))]
        fps = max(1.0, len(pictures) / self.seconds)
        pictures += pictures[-1:] * round(2 * fps)
        write_animation(pictures, self.file, fps)
        log_file(trainer, "video", self.file)


def with_line(picture: Image.Image, words: str) -> Image.Image:
    """A picture with a line of words below it."""
    white, black = (255, 0) if picture.mode == "L" else ((255, 255, 255), (0, 0, 0))
    canvas = Image.new(picture.mode, (picture.width, picture.height + _LINE), white)
    canvas.paste(picture)
    font = ImageFont.load_default(size=12)
    place = (picture.width - 6, picture.height + _LINE // 2)
    ImageDraw.Draw(canvas).text(place, words, fill=black, font=font, anchor="rm")
    return canvas


def spread(files: list[Path], most: int) -> list[Path]:
    """At most `most` of the frames, evenly spaced, always with the last one."""
    count = min(len(files), max(1, most))
    return [files[(i + 1) * len(files) // count - 1] for i in range(count)]


def _kind(file: Path) -> tuple[tuple[int, int], str] | None:
    """Size and mode of a picture, of which no more is read; None of a damaged one."""
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.verify()
            return picture.size, picture.mode
    except Exception:  # every kind of damage has an error of its own
        return None


def _read(file: Path) -> Image.Image:
    with Image.open(file, formats=["PNG"]) as picture:
        return picture.copy()
