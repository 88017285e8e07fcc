"""The models at hand: those that were asked for, those of their runs, and the zoo's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.data.pictures import MODES
from zoo.explore.latents import sefa
from zoo.explore.principal import Principal, principal
from zoo.inference.load import LoadedGenerator
from zoo.inference.locate import locate, pretrained_names, public_name
from zoo.inference.truncation import can_truncate, moves_styles
from zoo.layers.truncated_normal import NO_TRUNCATION

DIRECTIONS = 6
"""Sliders of each kind."""
SAMPLES = 5_000
"""Latents whose principal components are taken: fewer than for a report, for which nobody waits."""
MOST = 12
"""Checkpoints of one run."""
_MADE = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-\d\d_\d+")
"""The name that a run's folder has where nobody gave one: when it was made."""

Load = Callable[[Path], LoadedGenerator]


class Seen(NamedTuple):
    """A model that was read.

    Attributes:
        directions: SeFa's (k, latent_dim), none where no layer with weights takes the latent.
        components: principal ones of the styles, or of the first layer; None likewise.
    """

    model: LoadedGenerator
    directions: Tensor
    components: Principal | None


@dataclass
class Exhibit:
    """A model that the page can show; it is read when it is first looked at.

    Args:
        name: a short one, unique in the gallery.
        file: where it is.
        load: reads the file.
    """

    name: str
    file: Path
    load: Load
    _seen: Seen | None = field(default=None, repr=False)

    @classmethod
    def of(cls, model: LoadedGenerator) -> Exhibit:
        """One that was read already."""
        exhibit = cls(_name(model.file), model.file, lambda file: model)
        exhibit.open()
        return exhibit

    def open(self) -> Seen:
        """The model and the ways to move its latents."""
        if self._seen is None:
            model = self.load(self.file)
            generator = model.generator
            k = min(DIRECTIONS, generator.latent_dim)
            directions, components = torch.zeros(0, generator.latent_dim), None
            with suppress(ZooError):  # no layer with weights takes the latent: no such sliders
                directions = sefa(generator, k)[0]
                components = principal(generator, k, SAMPLES)  # nor where styles have fewer values
            self._seen = Seen(model, directions, components)
        return self._seen

    def describe(self) -> dict[str, Any]:
        """What the page must know of it, as plain values."""
        model, directions, components = self.open()
        generator = model.generator
        return {
            "name": self.name,
            "title": f"{model.info['generator']['name']} on {model.data.get('name')}",
            "facts": (
                f"{generator.channels}×{generator.height}×{generator.width}, "
                f"{model.num_classes or 'no'} classes, {model.weights} weights after "
                f"{model.images_seen:,} images"
            ),
            "file": public_name(model.file),
            "classes": model.class_names,
            "directions": len(directions),
            "components": 0 if components is None else len(components.steps),
            "limit": truncation_limit(generator),
            "projects": not generator.is_program and generator.channels in MODES,
        }


def gallery(
    shown: Sequence[LoadedGenerator], load: Load, near: Sequence[Path] = ()
) -> list[Exhibit]:
    """The models at hand, those that were asked for first.

    Args:
        shown: what was asked for; the other checkpoints of their runs follow, then those that are
            near, then the models that come with the zoo.
        load: reads one of the others.
        near: checkpoints of other runs.
    """
    exhibits = [Exhibit.of(model) for model in shown]
    files = {model.file.absolute() for model in shown}
    others = [file for model in shown for file in run_checkpoints(model.file)]
    for file in [*others, *near, *map(locate, pretrained_names())]:
        if file.absolute() not in files:
            files.add(file.absolute())
            exhibits.append(Exhibit(_name(file), file, load))
    for exhibit, name in zip(exhibits, _unique(e.name for e in exhibits), strict=True):
        exhibit.name = name
    return exhibits


def run_checkpoints(file: Path) -> list[Path]:
    """The checkpoints of the run that wrote `file`, in the order of the training, a few of them."""
    if file.parent.name != "checkpoints":
        return []
    numbered = sorted(file.parent.glob("images_*.ckpt"))
    step = -(-len(numbered) // (MOST - 2)) or 1
    named = [file.parent / name for name in ("best.ckpt", "last.ckpt")]
    return [*numbered[step - 1 :: step], *(f for f in named if f.is_file())]


def truncation_limit(generator: Generator) -> float:
    """From which truncation on there is none; 0 where the generator has none at all."""
    if not can_truncate(generator):
        return 0.0
    return 1.0 if moves_styles(generator) else NO_TRUNCATION


def _name(file: Path) -> str:
    text = public_name(file)
    name = Path(text).stem
    if name.startswith("images_") and name[7:].isdecimal():
        return f"after {int(name[7:]):,}"
    run = Path(text).parent.parent.name
    if made := _MADE.fullmatch(run):
        run = "{} {}:{}".format(*made.groups())
    return f"{run} {name}" if run and file.parent.name == "checkpoints" else name


def _unique(names: Iterable[str]) -> list[str]:
    """Names with a number behind those that came before."""
    made: list[str] = []
    for name in names:
        wanted, n = name, 1
        while wanted in made:
            n += 1
            wanted = f"{name} ({n})"
        made.append(wanted)
    return made
