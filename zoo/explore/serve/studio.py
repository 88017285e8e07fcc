"""What the page asks for, from its raw text values to a PNG: all checks and no HTTP."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Mapping
from typing import Any

import torch

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, listing
from zoo.explore.latents import sefa
from zoo.inference.images import grid, to_uint8
from zoo.inference.latents import draw_seeds, interpolate
from zoo.inference.load import LoadedGenerator
from zoo.inference.truncation import can_truncate, moves_styles
from zoo.layers.truncated_normal import NO_TRUNCATION

DIRECTIONS = 6
MAX_IMAGES = 100
MAX_REACH = 10.0
_NAMES = ("model", "seed", "label", "truncation", "seed2", "mix", "n", "raw")


class Studio:
    """Renders pictures of one or two generators.

    Args:
        models: what to show; with two, the page shows them side by side.
    """

    def __init__(self, models: list[LoadedGenerator]) -> None:
        self.models = models
        self.directions: list[torch.Tensor] = []
        for model in models:
            try:
                k = min(DIRECTIONS, model.generator.latent_dim)
                self.directions.append(sefa(model.generator, k)[0])
            except ZooError:  # the latent enters no linear layer: a page without these sliders
                self.directions.append(torch.zeros(0, model.generator.latent_dim))
        # Requests come in threads; one forward pass at a time keeps the machine responsive.
        self._lock = threading.Lock()

    def describe(self) -> list[dict[str, Any]]:
        """What the page must know of every model, as plain values."""
        return [
            {
                "title": f"{m.info['generator']['name']} on {m.data.get('name')}",
                "facts": (
                    f"{m.generator.channels}×{m.generator.height}×{m.generator.width}, "
                    f"{m.num_classes or 'no'} classes, {m.weights} weights after "
                    f"{m.images_seen:,} images, from {m.file}"
                ),
                "classes": m.class_names,
                "directions": len(d),
                "limit": truncation_limit(m.generator),
            }
            for m, d in zip(self.models, self.directions, strict=True)
        ]

    def render(self, query: Mapping[str, str]) -> bytes:
        """A PNG of the images that `query` describes.

        Args:
            query: texts of `model` (0 or 1), `seed` (image i uses seed + i), `label` (name, index,
                or nothing for class i of image i), `truncation` (from `limit` on none), `seed2` and
                `mix` (0 to 1: from the latent of `seed` to that of `seed2`), `d0`, `d1`, … (steps
                along SeFa directions), `n` images, `raw` (1: pixel for pixel, without margins).

        Raises:
            ZooError: a value that is not what it should be; the sentence names it.
        """
        index = _integer(query, "model", 0, 0, len(self.models) - 1)
        model, directions = self.models[index], self.directions[index]
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
        with self._lock:
            z = draw_seeds(model.generator, range(seed, seed + n))
            if mix:
                other = draw_seeds(model.generator, range(seed2, seed2 + n))
                z = interpolate(z, other, mix)
            z = z + torch.tensor(steps[: len(directions)]) @ directions
            images = to_uint8(model.generate(z.cpu(), y, truncation=None if none else truncation))
        size = max(images.shape[-2:])
        columns = math.ceil(math.sqrt(n))
        scale = 1 if raw else max(1, 512 // columns // size)
        picture = grid(images, columns, scale=scale, padding=0 if raw else 2)
        data = io.BytesIO()
        picture.save(data, format="PNG")
        return data.getvalue()


def truncation_limit(generator: Generator) -> float:
    """From which truncation on there is none; 0 where the generator has none at all."""
    if not can_truncate(generator):
        return 0.0
    return 1.0 if moves_styles(generator) else NO_TRUNCATION


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
