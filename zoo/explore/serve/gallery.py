"""The models that the page offers: those requested, others of their runs, and pretrained ones."""

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
"""The most sliders of each kind."""
SAMPLES = 5_000
"""The number of latents for principal components, fewer than in reports since the user waits."""
MOST = 12
"""The most checkpoints of one run."""
_DEFAULT_NAME = re.compile(r"(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)_\d+")
"""The default name of a run's folder, its date and time."""

Load = Callable[[Path], LoadedGenerator]


class Seen(NamedTuple):
    """A model that has been loaded, with the directions along which its latents can be moved.

    Attributes:
        model: the model.
        directions: SeFa directions (k, latent_dim); k is 0 if no layer with weights reacts to the
            latent.
        components: the principal components of the styles or of the first layer's activations;
            None if there are none.
    """

    model: LoadedGenerator
    directions: Tensor
    components: Principal | None


@dataclass
class Exhibit:
    """A model that the page can show, which is loaded when it is first shown.

    Args:
        name: a short name, unique in the gallery.
        file: the file of the model.
        load: the function that loads the file.
    """

    name: str
    file: Path
    load: Load
    _seen: Seen | None = field(default=None, repr=False)

    @classmethod
    def of(cls, model: LoadedGenerator) -> Exhibit:
        """Create an exhibit from a model that has been loaded."""
        exhibit = cls(_name(model.file), model.file, lambda file: model)
        exhibit.open()
        return exhibit

    def open(self) -> Seen:
        """Return the model with its directions, loading it if necessary."""
        if self._seen is None:
            model = self.load(self.file)
            generator = model.generator
            k = min(DIRECTIONS, generator.latent_dim)
            directions, components = torch.zeros(0, generator.latent_dim), None
            # There are no such sliders if no layer with weights reacts to the latent, or if styles
            # have fewer than k values.
            with suppress(ZooError):
                directions = sefa(generator, k)[0]
                components = principal(generator, k, SAMPLES)
            self._seen = Seen(model, directions, components)
        return self._seen

    def describe(self) -> dict[str, Any]:
        """Return what the page needs to know about the model as plain values, for JSON."""
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
    """Return the models that the page offers, starting with those requested.

    After these come the other checkpoints of their runs, `near`, and the models that come with the
    zoo.

    Args:
        shown: the models requested by the user.
        load: the function that loads the others.
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
    """Return a selection of the checkpoints of the run that wrote `file`, in order of training."""
    if file.parent.name != "checkpoints":
        return []
    numbered = sorted(file.parent.glob("images_*.ckpt"))
    step = -(-len(numbered) // (MOST - 2)) or 1
    named = [file.parent / name for name in ("best.ckpt", "last.ckpt")]
    return [*numbered[step - 1 :: step], *(f for f in named if f.is_file())]


def truncation_limit(generator: Generator) -> float:
    """Return the value from which on truncation has no effect; 0 if truncation is unsupported."""
    if not can_truncate(generator):
        return 0.0
    return 1.0 if moves_styles(generator) else NO_TRUNCATION


def _name(file: Path) -> str:
    """Return a short name for a model file."""
    text = public_name(file)
    name = Path(text).stem
    if name.startswith("images_") and name[7:].isdecimal():
        return f"after {int(name[7:]):,}"
    run = Path(text).parent.parent.name
    if not run or file.parent.name != "checkpoints":
        return name
    if run.isdecimal():  # of a sweep or a search
        return f"run {run} {name}, {file.resolve().parents[2].name}"
    if match := _DEFAULT_NAME.fullmatch(run):
        # The date last: on a narrow card only the beginning is visible, and runs share their day.
        return "{1}:{2}:{3} {name}, {0}".format(*match.groups(), name=name)
    return f"{run} {name}"


def _unique(names: Iterable[str]) -> list[str]:
    """Make names unique by appending a number to those that occurred before."""
    unique: list[str] = []
    for name in names:
        candidate, n = name, 1
        while candidate in unique:
            n += 1
            candidate = f"{name} ({n})"
        unique.append(candidate)
    return unique
