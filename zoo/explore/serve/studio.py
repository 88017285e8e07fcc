"""What the page asks for, from its raw text values to a PNG: all checks and no HTTP."""

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
"""The most pixels of a picture to project: enough for any phone's."""
PROJECTION = {"steps": 300, "candidates": 512, "seconds": 30.0, "noise": False}
"""Options of a projection. The noise maps stay the network's own, as in every picture shown."""
_TELL_SECONDS = 0.2
_NAMES = ("model", "seed", "label", "truncation", "seed2", "mix", "found", "n", "raw")

Tell = Callable[[Mapping[str, Any]], None]


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
        self._finds = Finds()

    def describe(self) -> dict[str, Any]:
        """The names of the models, and how many are shown at first."""
        return {"models": [e.name for e in self.exhibits], "shown": self.shown}

    def describe_model(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What the page must know of the model `model`, which is read where it is new."""
        _, exhibit = self._asked(query)
        with self._lock, _named_in_public(exhibit.file):
            return exhibit.describe()

    def render(self, query: Mapping[str, str]) -> bytes:
        """A PNG of the images that `query` describes.

        Args:
            query: texts of `model` (its place in the gallery), `seed` (image i uses seed + i),
                `label` (name, index, or nothing for class i of image i), `truncation` (from
                `limit` on none), `seed2` and `mix` (0 to 1: from the latent of `seed` to that of
                `seed2`), `found` (the number of a latent that `project` found, in place of that
                of `seed`), `d0`, `d1`, … (steps along SeFa directions), `c0`, `c1`, … (along
                principal components, in standard deviations), `n` images, `raw` (1: pixel for
                pixel, without margins).

        Raises:
            ZooError: a value that is not what it should be; the sentence names it.
        """
        at, exhibit = self._asked(query)
        with self._lock, _named_in_public(exhibit.file):
            seen = exhibit.open()
        model = seen.model
        moves = {f"{kind}{i}" for kind in "dc" for i in range(DIRECTIONS)}
        unknown = [name for name in query if name not in _NAMES and name not in moves]
        if unknown:
            raise ZooError(
                f"there is no setting {unknown[0][:40]!r}: {listing(_NAMES)}, d0, c0, d1, …"
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
        none = math.isinf(truncation) or (limit and truncation >= limit)
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
            amount = None if none else truncation
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
        """Find the latent of a picture, which `render` then takes as `found`.

        Args:
            query: texts of `model`, and of `label` (a class; nothing for that of the nearest of the
                candidates).
            picture: the bytes of its file.
            tell: is given, one after another: `target`, the picture as the model sees it; `done`
                from 0 to 1 with the best `image` so far; and at last `found`, a number, with the
                `label`, the `error`, that of the best latent drawn at random, their `distance` in
                words and the numbers of the latent. Pictures are addresses of PNG data. What it
                raises ends the search.

        Raises:
            ZooError: no picture, too large a one, or a model that cannot be projected to.
        """
        unknown = [name for name in query if name not in ("model", "label")]
        if unknown:
            raise ZooError(f"there is no setting {unknown[0][:40]!r}: model and label.")
        at, exhibit = self._asked(query)
        with self._lock, _named_in_public(exhibit.file):
            model = exhibit.open().model
        label = _label(query, model)
        target = read_target(model.generator, picture, "the picture", MOST_PIXELS)
        tell({"done": 0.0, "target": _address(target)})
        told = 0.0

        def watch(done: float, image: Tensor) -> None:
            """Between two steps others get their pictures, and the page hears of it."""
            nonlocal told
            self._lock.release()
            try:
                if time.monotonic() - told > _TELL_SECONDS:
                    tell({"done": done, "image": _address(image)})
                    told = time.monotonic()
                time.sleep(0.0005)  # in which whoever waits for the lock gets it
            finally:
                self._lock.acquire()

        with self._lock, _named_in_public(exhibit.file):
            found = model.project(target, label, watch=watch, **PROJECTION)
            if not found.errors.isfinite().all():
                raise ZooError("the generator gives NaN or infinite pixels: its training diverged.")
            find = Find.of(model, at, found)
            number = self._finds.keep(find)
        tell(
            {
                "done": 1.0,
                "found": number,
                "label": "" if found.labels is None else model.class_names[int(found.labels[0])],
                "error": float(found.errors[0]),
                "drawn": float(found.first_errors[0]),
                "distance": found.distance,
                "latent": find.describe(),
            }
        )

    def _asked(self, query: Mapping[str, str]) -> tuple[int, Exhibit]:
        at = _integer(query, "model", 0, 0, len(self.exhibits) - 1)
        return at, self.exhibits[at]


def _label(query: Mapping[str, str], model: LoadedGenerator) -> int | None:
    """The class asked for; None where none is."""
    label = query.get("label", "").strip()
    if not label:
        return None
    if not model.num_classes:
        raise ZooError(f"label={label[:40]}: this model is unconditional.")
    return model.class_index(label[:100])


def _moves(query: Mapping[str, str], kind: str) -> Tensor:
    """Steps along each direction of a kind."""
    names = [f"{kind}{i}" for i in range(DIRECTIONS)]
    return torch.tensor([_number(query, name, 0.0, -MAX_REACH, MAX_REACH) for name in names])


def _png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, format="PNG")
    return data.getvalue()


def _address(image: Tensor) -> str:
    """One image (1, C, H, W) in [-1, 1] as an address that holds it."""
    data = base64.b64encode(_png(to_pil(to_uint8(image)[0]))).decode("ascii")
    return f"data:image/png;base64,{data}"


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
