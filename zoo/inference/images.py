"""From tensors in [-1, 1] to files that people look at: PNG, labelled grids, animations."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.core.atomic import replacing
from zoo.core.errors import ZooError, at_least, listing
from zoo.data.pixels import POINT, to_uint8
from zoo.inference.plane import scatter
from zoo.registry.calls import held_to_annotations

SMALLEST = 9
"""Size of the smallest letters in a grid, in pixels."""

__all__ = ["grid", "show", "to_pil", "to_uint8", "write_animation", "write_png"]


def to_pil(image: Tensor) -> Image.Image:
    """One uint8 image (C, H, W) as a picture: gray for 1 channel, RGB for 3.

    Any other number of channels is shown as gray pictures side by side.
    """
    array = image.cpu().numpy()
    if len(array) == 3:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)), "RGB")
    return Image.fromarray(np.ascontiguousarray(np.concatenate(list(array), axis=1)), "L")


def write_png(image: Tensor | Image.Image, path: Path) -> Path:
    """Write one uint8 image (C, H, W), or a picture, as PNG, whole or not at all.

    Raises:
        ZooError: the file cannot be written.
    """
    picture = to_pil(image) if isinstance(image, Tensor) else image
    try:
        with replacing(path, on_disk=False) as partial:
            picture.save(partial, format="PNG")
    except OSError as error:
        raise ZooError(f"cannot write the picture {path}: {error.strerror or error}.") from error
    return path


def grid(
    images: Tensor,
    columns: int | None = None,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    scale: int | None = None,
    padding: int = 2,
    modes: Tensor | None = None,
    joined: bool = False,
) -> Image.Image:
    """Lay images (N, C, H, W) out row by row, with the names of rows and columns beside them.

    Images of one pixel with two channels are points of the plane, and drawn as such in one picture
    (see `zoo.inference.plane`).

    Args:
        columns: images per row; None makes the grid about square.
        rows: one name per row, or none.
        heads: one name per column, or none.
        scale: whole factor by which pixels are repeated; None shows small images at 64 pixels.
        padding: pixels between images.
        modes: for points, the middles (K, 2) of the real modes.
        joined: for points, a line through those of each row.
    """
    if len(images) == 0:
        raise ZooError("a grid needs at least one image.")
    if images.shape[1:] == POINT:
        return scatter(images.flatten(1), columns, rows, heads, modes, joined)
    if images.is_floating_point():
        images = to_uint8(images)
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    lines = -(-len(images) // columns)
    first = to_pil(images[0])
    scale = scale or max(1, 64 // first.height)
    width, height = first.width * scale, first.height * scale
    size = max(10, min(18, height // 3))
    font = ImageFont.load_default(size=size)
    left = padding + (max(int(font.getlength(str(r))) for r in rows) + 8 if rows else 0)
    top = padding + (size + 6 if heads else 0)
    canvas = Image.new(
        first.mode,
        (left + columns * (width + padding), top + lines * (height + padding)),
        255 if first.mode == "L" else (255, 255, 255),
    )
    for i, image in enumerate(images):
        picture = to_pil(image).resize((width, height), Image.Resampling.NEAREST)
        row, column = divmod(i, columns)
        canvas.paste(picture, (left + column * (width + padding), top + row * (height + padding)))
    draw = ImageDraw.Draw(canvas)
    black = 0 if first.mode == "L" else (0, 0, 0)
    for i, name in enumerate(rows[:lines]):
        middle = top + i * (height + padding) + height // 2
        draw.text((left - 6, middle), str(name), fill=black, font=font, anchor="rm")
    heads = [str(name) for name in heads[:columns]]
    while heads and size > SMALLEST and max(map(font.getlength, heads)) > width:
        size -= 1
        font = ImageFont.load_default(size=size)
    for i, name in enumerate(heads):
        middle = left + i * (width + padding) + width // 2
        fitting = _cut(name, font, width)
        draw.text((middle, top - 4), fitting, fill=black, font=font, anchor="ms")
    return canvas


def _cut(name: str, font: Any, width: int) -> str:
    """The beginning of a name that fits into `width` pixels."""
    if font.getlength(name) <= width:
        return name
    while len(name) > 1 and font.getlength(name + "…") > width:
        name = name[:-1]
    return name + "…"


def write_animation(frames: Sequence[Image.Image], path: Path, fps: float = 20) -> Path:
    """Write pictures of one size as an endless animation; the ending picks the format.

    `.gif`, `.webp` and `.png` (animated PNG) need nothing else, and show at most 50 frames a
    second; `.mp4` needs `ffmpeg`.

    Raises:
        ZooError: no frames, an unknown ending, no ffmpeg, or a file that cannot be written.
    """
    kind = path.suffix.lstrip(".")
    if not frames or fps <= 0:
        raise ZooError(f"{path.name} needs frames and fps above 0: got {len(frames)} and {fps}.")
    if kind == "mp4":
        return _write_mp4(frames, path, fps)
    if kind not in ("gif", "webp", "png"):
        raise ZooError(f"cannot animate as {path.name!r}: the endings are gif, webp, png, mp4.")
    try:
        with replacing(path) as partial:
            frames[0].save(
                partial,
                format=kind,
                save_all=True,
                append_images=list(frames[1:]),
                duration=max(20, round(1000 / fps)),  # ms; browsers slow down what is under 20
                loop=0,
                lossless=True,  # heard by webp alone
            )
    except OSError as error:
        reason = error.strerror or error
        raise ZooError(f"cannot write the animation {path}: {reason}.") from error
    return path


def find_ffmpeg() -> str:
    """The program that makes an mp4.

    Raises:
        ZooError: it is not installed.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ZooError(
            "an mp4 needs the program ffmpeg, which is not on the PATH: install it, or use "
            "another format (gif, webp)."
        )
    return ffmpeg


def _write_mp4(frames: Sequence[Image.Image], path: Path, fps: float) -> Path:
    ffmpeg = find_ffmpeg()
    # H.264 in yuv420p, which every player takes, wants even sides: the last row or column goes.
    width, height = frames[0].width // 2 * 2, frames[0].height // 2 * 2
    command = [ffmpeg, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(fps), "-i", "-", "-pix_fmt", "yuv420p"]
    command += ["-f", "mp4"]
    raw = b"".join(f.convert("RGB").crop((0, 0, width, height)).tobytes() for f in frames)
    with replacing(path) as partial:
        done = subprocess.run([*command, str(partial)], input=raw, capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise ZooError(f"ffmpeg could not write {path}: {' '.join(reason)}")
    return path


@held_to_annotations("zoo.show")
def show(
    images: Tensor | Sequence[Tensor],
    columns: Annotated[int, at_least(1)] | None = None,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    scale: Annotated[int, at_least(1)] | None = None,
) -> Image.Image:
    """Images as one picture, which a notebook shows: `zoo.show(model.sample(16, label=5))`.

    Args:
        images: (N, C, H, W), or one (C, H, W); float in [-1, 1] or uint8.
        columns, rows, heads, scale: see `grid`.

    Returns:
        A PIL image; `.save("fives.png")` writes it.

    Raises:
        ZooError: they are no images, or of several sizes.
    """
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ZooError(f"zoo.show takes images of one size, and was given {listing(shapes)}.")
    if isinstance(images, Tensor):
        given = images
    else:
        given = torch.stack(list(images)) if images else torch.zeros(0)
    if given.dim() not in (3, 4) or not given.numel():
        raise ZooError(
            "zoo.show takes images (N, C, H, W) or one (C, H, W), and was given the shape "
            f"{tuple(given.shape)}."
        )
    if given.is_floating_point() and not given.isfinite().all():
        raise ZooError("zoo.show takes finite images, and was given NaN or infinite pixels.")
    if not given.is_floating_point() and given.dtype != torch.uint8:
        raise ZooError(f"zoo.show takes images in [-1, 1] or uint8, and was given {given.dtype}.")
    four = given.detach() if given.dim() == 4 else given.detach()[None]
    return grid(four, columns, rows, heads, scale)
