"""Answering the page's requests, from raw text values to a PNG: all the checks, but no HTTP."""

from __future__ import annotations

import base64
import io
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.core.errors import ZooError, listing
from zoo.explore.serve.finds import Find, Finds, moved_images
from zoo.explore.serve.gallery import DIRECTIONS, Exhibit, truncation_limit
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid, to_pil, to_uint8
from zoo.inference.latents import draw_seeds, interpolate
from zoo.inference.load import LoadedGenerator
from zoo.inference.locate import without_folders
from zoo.inference.target import read_target

MAX_IMAGES = 100
MAX_REACH = 10.0
MOST_PIXELS = 2**25
"""The most pixels of a picture to project, enough for photographs of phones."""
PROJECTION = {"steps": 300, "candidates": 512, "seconds": 30.0, "noise": False}
"""The options of a projection. Noise maps are not optimized, as the page always shows the
network's own."""
_TELL_SECONDS = 0.2
"""The shortest time between two updates of a search."""
_NAMES = ("model", "seed", "label", "truncation", "seed2", "mix", "found", "n", "raw")

Tell = Callable[[Mapping[str, Any]], None]


class Studio:
    """Generates images with the models of the gallery, and projects pictures.

    Args:
        models: the models, as returned by `zoo.explore.serve.gallery.gallery`, or loaded ones.
        shown: the number of models that the page shows side by side at first.
    """

    def __init__(self, models: Sequence[Exhibit | LoadedGenerator], shown: int = 1) -> None:
        self.exhibits = [m if isinstance(m, Exhibit) else Exhibit.of(m) for m in models]
        self.shown = shown
        # Requests run in threads; a single forward pass at a time keeps the machine responsive.
        self._lock = threading.Lock()
        self._finds = Finds()

    def describe(self) -> dict[str, Any]:
        """Return the names of the models, and the number of those shown at first."""
        return {"models": [e.name for e in self.exhibits], "shown": self.shown}

    def describe_model(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return what the page needs to know about the model `model`, loading it if necessary."""
        _, exhibit = self._requested(query)
        with self._lock, _named_in_public(exhibit.file):
            return exhibit.describe()

    def render(self, query: Mapping[str, str]) -> bytes:
        """Return a PNG of the images that `query` describes.

        Args:
            query: the texts of these settings: `model` (its index in the gallery), `seed` (image i
                uses seed + i), `label` (the name or index of a class; empty to give image i the
                class i), `truncation` (none from the model's `limit` on), `seed2` and `mix` (0 to
                1, from the latent of `seed` to that of `seed2`), `found` (the number of a latent
                from `project`, which replaces that of `seed`), `d0`, `d1`, … (steps along SeFa
                directions), `c0`, `c1`, … (steps along principal components, in standard
                deviations), `n` (the number of images), `raw` (1 for original pixels without
                margins).

        Raises:
            ZooError: a setting is invalid; the message names it.
        """
        at, exhibit = self._requested(query)
        with self._lock, _named_in_public(exhibit.file):
            seen = exhibit.open()
        model = seen.model
        moves = {f"{kind}{i}" for kind in "dc" for i in range(DIRECTIONS)}
        unknown = [name for name in query if name not in _NAMES and name not in moves]
        if unknown:
            raise ZooError(
                f"there is no setting {unknown[0][:40]!r}: choose from {listing(_NAMES)}, d0, c0, "
                "d1, …"
            )
        n = _integer(query, "n", 1, 1, MAX_IMAGES)
        seed = _integer(query, "seed", 0, 0, 2**53)
        seed2 = _integer(query, "seed2", 0, 0, 2**53)
        mix = _number(query, "mix", 0.0, 0.0, 1.0)
        truncation = _number(query, "truncation", math.inf, 0.0, math.inf)
        along, across = _moves(query, "d"), _moves(query, "c")
        raw = _integer(query, "raw", 0, 0, 1)
        number = _integer(query, "found", 0, 0, 2**53)
        find = self._finds.get(number, at) if number else None
        label = _label(query, model)
        y = None
        if label is not None:
            y = torch.full((n,), label)
        elif model.num_classes:
            y = torch.arange(n) % model.num_classes
        limit = truncation_limit(model.generator)
        is_full = math.isinf(truncation) or (limit and truncation >= limit)
        with self._lock, _named_in_public(exhibit.file):
            if find is None:
                z = draw_seeds(model.generator, range(seed, seed + n)).cpu()
            else:
                z = find.z.expand(n, -1)
            if mix:
                other = draw_seeds(model.generator, range(seed2, seed2 + n)).cpu()
                z = interpolate(z, other, mix)
            z = z + along[: len(seen.directions)] @ seen.directions
            offset = None  # of the styles
            if find is not None and find.offset is not None:
                offset = (1 - mix) * find.offset
            if seen.components is not None and across.any():
                move = across[: len(seen.components.steps)] @ seen.components.steps
                if seen.components.space == "z":
                    z = z + move
                else:
                    offset = move[None] if offset is None else offset + move
            amount = None if is_full else truncation
            if offset is None:
                images = model.generate(z, y, truncation=amount)
            else:
                images = moved_images(model, z, y, amount, offset)
        size = max(images.shape[-2:])
        columns = math.ceil(math.sqrt(n))
        scale = 1 if raw else max(1, 512 // columns // size)
        picture = grid(
            images, columns, scale=scale, padding=0 if raw else 2, modes=modes_of(model.data)
        )
        return _png(picture)

    def project(self, query: Mapping[str, str], picture: bytes, tell: Tell) -> None:
        """Find the latent of a picture, which `render` then accepts as `found`.

        Args:
            query: the texts of `model` and `label` (a class, or empty to take the class of the
                nearest of the random candidates).
            picture: the bytes of the picture's file.
            tell: a function that is called with updates: first `target`, the picture as the model
                sees it; then `done`, from 0 to 1, with the best `image` so far; finally `found`, a
                number, with the `label`, the `error`, the error of the best random latent
                (`drawn`), a description of the `distance` that these measure, and the numbers of
                the `latent`. Images are data URLs of PNGs. An exception raised by `tell` ends the
                search.

        Raises:
            ZooError: the file is not a picture or too large, or the model does not support
                projection.
        """
        unknown = [name for name in query if name not in ("model", "label")]
        if unknown:
            raise ZooError(f"there is no setting {unknown[0][:40]!r}: choose model or label.")
        at, exhibit = self._requested(query)
        with self._lock, _named_in_public(exhibit.file):
            model = exhibit.open().model
        label = _label(query, model)
        target = read_target(model.generator, picture, "the picture", MOST_PIXELS)
        tell({"done": 0.0, "target": _address(target)})
        last_update = 0.0

        def watch(done: float, image: Tensor) -> None:
            """Send an update to the page, and let other requests run between two steps."""
            nonlocal last_update
            self._lock.release()
            try:
                if time.monotonic() - last_update > _TELL_SECONDS:
                    tell({"done": done, "image": _address(image)})
                    last_update = time.monotonic()
                time.sleep(0.0005)  # lets a waiting thread acquire the lock
            finally:
                self._lock.acquire()

        with self._lock, _named_in_public(exhibit.file):
            projection = model.project(target, label, watch=watch, **PROJECTION)
            if not projection.errors.isfinite().all():
                raise ZooError(
                    "the generator returned NaN or infinite pixels: its training diverged."
                )
            find = Find.of(model, at, projection)
            number = self._finds.keep(find)
            labels = projection.labels
        tell(
            {
                "done": 1.0,
                "found": number,
                "label": "" if labels is None else model.class_names[int(labels[0])],
                "error": float(projection.errors[0]),
                "drawn": float(projection.first_errors[0]),
                "distance": projection.distance,
                "latent": find.describe(),
            }
        )

    def _requested(self, query: Mapping[str, str]) -> tuple[int, Exhibit]:
        """Return the index and the exhibit of the requested model."""
        at = _integer(query, "model", 0, 0, len(self.exhibits) - 1)
        return at, self.exhibits[at]


def _label(query: Mapping[str, str], model: LoadedGenerator) -> int | None:
    """Return the index of the requested class, or None if no class is requested."""
    label = query.get("label", "").strip()
    if not label:
        return None
    if not model.num_classes:
        raise ZooError(f"label={label[:40]}: this model is unconditional.")
    return model.class_index(label[:100])


def _moves(query: Mapping[str, str], kind: str) -> Tensor:
    """Return the steps along each direction of a kind, `d` or `c`."""
    names = [f"{kind}{i}" for i in range(DIRECTIONS)]
    return torch.tensor([_number(query, name, 0.0, -MAX_REACH, MAX_REACH) for name in names])


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, format="PNG")
    return data.getvalue()


def _address(image: Tensor) -> str:
    """Return one image (1, C, H, W) in [-1, 1] as a data URL."""
    data = base64.b64encode(_png(to_pil(to_uint8(image)[0]))).decode("ascii")
    return f"data:image/png;base64,{data}"


@contextmanager
def _named_in_public(file: Path) -> Iterator[None]:
    """Remove this machine's folders from the path of `file` in errors raised within the block."""
    try:
        yield
    except ZooError as error:
        raise ZooError(without_folders(str(error), file)) from error


def _number(query: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    text = query.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
        raise ZooError(f"{name}={text[:40]} is not a number {bounds}.")
    return value


def _integer(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, "").strip()
    if not text:
        return default
    # At most 20 digits: int() of a longer text takes time that grows with its square.
    value = int(text) if len(text) <= 20 and text.isascii() and text.isdigit() else -1
    if not low <= value <= high:
        raise ZooError(f"{name}={text[:40]} is not a whole number from {low} to {high}.")
    return value
