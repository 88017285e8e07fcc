"""A video of the training: how images of the same latents develop from noise."""

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
"""The height in pixels of the caption below a grid."""
FASTEST = 50
"""The highest frame rate of a video; browsers do not show more frames per second."""
FRAMES_MEMORY = 2**29
"""The most bytes that the frames of a video may take in memory while it is written."""


@callback("video")
class Video(Callback):
    """Writes `video.gif` (or WebP, MP4) at the end: how images of the same latents develop.

    Since most changes happen early, a frame is taken whenever the number of real images seen has
    grown by the factor `growth`: about 25 frames for ten times as many images. Frames are stored as
    PNG files in `video/`, so that a resumed training gets one video from its start to its end. If
    there are more frames than fit into the video's length at 50 per second, or into 512 MB of
    memory, evenly spaced ones are used.

    Args:
        folder: The run's folder.
        every_n_images: Take a frame whenever n more real images have been seen; null for intervals
            that grow by `growth`.
        growth: The ratio of the images seen at two successive frames.
        first: The number of real images seen at the first frame after the start.
        seconds: The length of the video; its last frame stays for two more seconds.
        format: `gif`, `webp` (a third of the size), or `mp4` (needs `ffmpeg`).
        rows: The number of rows of the grid.
        columns: The number of columns of an unconditional grid.
        max_classes: The largest number of columns of a conditional grid.
        scale: The integer factor by which images are enlarged; null enlarges small ones to 64
            pixels.
        seed: The seed of the latents.
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
        if format == "mp4":  # fail now rather than at the end
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
                number = frame.stem.removeprefix("images_")
                if not number.isdecimal() or int(number) > seen:  # will be taken again
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
        """Return the images seen at the next frame, which does not depend on when a run resumed."""
        if self.every_n_images is not None:
            return (seen // self.every_n_images + 1) * self.every_n_images
        if seen < self.first:
            return float(self.first)
        passed = math.floor(math.log(seen / self.first) / math.log(self.growth))
        due = self.first * self.growth ** (passed + 1)
        return due if due > seen else due * self.growth  # in case the logarithm was rounded down

    @rank_zero_only
    def take(self, pl_module: Any) -> None:
        """Store a frame of images from the current generator."""
        seen = pl_module.images_seen
        picture = with_line(self.grid.draw(pl_module), f"{seen:,} images seen")
        write_png(picture, self.frames / f"images_{seen:012d}.png")

    @rank_zero_only
    def write(self, trainer: pl.Trainer) -> None:
        """Write the video of all stored frames, and log it."""
        files = sorted(self.frames.glob("images_*.png"))
        kinds = {file: kind for file in files if (kind := _kind(file)) is not None}
        # Frames of another size, from before the run resumed with other options, are left out.
        (width, height), mode = newest = list(kinds.values())[-1]
        files = [file for file, kind in kinds.items() if kind == newest]
        fitting = FRAMES_MEMORY // (width * height * len(mode))
        chosen = spread(files, min(int(FASTEST * self.seconds), fitting))
        frames = [_read(file) for file in chosen]
        fps = max(1.0, len(frames) / self.seconds)
        frames += frames[-1:] * round(2 * fps)
        write_animation(frames, self.file, fps)
        log_file(trainer, "video", self.file)


def with_line(picture: Image.Image, words: str) -> Image.Image:
    """Return a copy of a picture with a line of text below it."""
    white, black = (255, 0) if picture.mode == "L" else ((255, 255, 255), (0, 0, 0))
    canvas = Image.new(picture.mode, (picture.width, picture.height + _LINE), white)
    canvas.paste(picture)
    font = ImageFont.load_default(size=12)
    position = (picture.width - 6, picture.height + _LINE // 2)
    ImageDraw.Draw(canvas).text(position, words, fill=black, font=font, anchor="rm")
    return canvas


def spread(files: list[Path], most: int) -> list[Path]:
    """Choose at most `most` of the files, evenly spaced and including the last one."""
    count = min(len(files), max(1, most))
    return [files[(i + 1) * len(files) // count - 1] for i in range(count)]


def _kind(file: Path) -> tuple[tuple[int, int], str] | None:
    """Return the size and mode of an image file; None if it is damaged."""
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            picture.verify()
            return picture.size, picture.mode
    except Exception:  # depends on the damage
        return None


def _read(file: Path) -> Image.Image:
    with Image.open(file, formats=["PNG"]) as picture:
        return picture.copy()
