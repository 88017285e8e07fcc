"""What the page asks for, from its raw text values to a PNG: all checks and no HTTP."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from zoo.core.errors import ZooError, listing
from zoo.explore.serve.gallery import DIRECTIONS, Exhibit, truncation_limit
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid
from zoo.inference.latents import draw_seeds, interpolate
from zoo.inference.load import LoadedGenerator
from zoo.inference.locate import without_folders

MAX_IMAGES = 100
MAX_REACH = 10.0
_NAMES = ("model", "seed", "label", "truncation", "seed2", "mix", "n", "raw")


class Studio:
    """Renders pictures of the models at hand.

    Args:
        models: what to show, as made by `zoo.explore.serve.gallery`, or models as they are.
        shown: how many of them the page shows at first, side by side.
    """

    def __init__(self, models: Sequence[Exhibit | LoadedGenerator], shown: int = 1) -> None:
        self.exhibits = [m if isinstance(m, Exhibit) else Exhibit.of(m) for m in models]
        self.shown = shown
        # Requests come in threads; one forward pass at a time keeps the machine responsive.
        self._lock = threading.Lock()

    def describe(self) -> dict[str, Any]:
        """The names of the models, and how many are shown at first."""
        return {"models": [e.name for e in self.exhibits], "shown": self.shown}

    def describe_model(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What the page must know of the model `model`, which is read where it is new."""
        exhibit = self.exhibits[_integer(query, "model", 0, 0, len(self.exhibits) - 1)]
        with self._lock, _named_in_public(exhibit.file):
            return exhibit.describe()

    def render(self, query: Mapping[str, str]) -> bytes:
        """A PNG of the images that `query` describes.

        Args:
            query: texts of `model` (its place in the gallery), `seed` (image i uses seed + i),
                `label` (name, index, or nothing for class i of image i), `truncation` (from
                `limit` on none), `seed2` and `mix` (0 to 1: from the latent of `seed` to that of
                `seed2`), `d0`, `d1`, … (steps along SeFa directions), `n` images, `raw` (1: pixel
                for pixel, without margins).

        Raises:
            ZooError: a value that is not what it should be; the sentence names it.
        """
        exhibit = self.exhibits[_integer(query, "model", 0, 0, len(self.exhibits) - 1)]
        with self._lock, _named_in_public(exhibit.file):
            model, directions = exhibit.open()
        moves = {f"d{i}" for i in range(DIRECTIONS)}
        unknown = [name for name in query if name not in _NAMES and name not in moves]
        if unknown:
            raise ZooError(f"there is no setting {unknown[0][:40]!r}: {listing(_NAMES)}, d0, d1, …")
        n = _integer(query, "n", 1, 1, MAX_IMAGES)
        seed = _integer(query, "seed", 0, 0, 2**53)
        seed2 = _integer(query, "seed2", 0, 0, 2**53)
        mix = _number(query, "mix", 0.0, 0.0, 1.0)
        truncation = _number(query, "truncation", math.inf, 0.0, math.inf)
        steps = [_number(query, f"d{i}", 0.0, -MAX_REACH, MAX_REACH) for i in range(DIRECTIONS)]
        raw = _integer(query, "raw", 0, 0, 1)
        label = query.get("label", "").strip()
        y = None
        if label:
            if not model.num_classes:
                raise ZooError(f"label={label[:40]}: this model is unconditional.")
            y = torch.full((n,), model.class_index(label[:100]))
        elif model.num_classes:
            y = torch.arange(n) % model.num_classes
        limit = truncation_limit(model.generator)
        none = math.isinf(truncation) or (limit and truncation >= limit)
        with self._lock, _named_in_public(exhibit.file):
            z = draw_seeds(model.generator, range(seed, seed + n))
            if mix:
                other = draw_seeds(model.generator, range(seed2, seed2 + n))
                z = interpolate(z, other, mix)
            z = z + torch.tensor(steps[: len(directions)]) @ directions
            images = model.generate(z.cpu(), y, truncation=None if none else truncation)
        size = max(images.shape[-2:])
        columns = math.ceil(math.sqrt(n))
        scale = 1 if raw else max(1, 512 // columns // size)
        picture = grid(
            images, columns, scale=scale, padding=0 if raw else 2, modes=modes_of(model.data)
        )
        data = io.BytesIO()
        picture.save(data, format="PNG")
        return data.getvalue()


@contextmanager
def _named_in_public(file: Path) -> Iterator[None]:
    """Errors within name the file without the folders of this machine."""
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
