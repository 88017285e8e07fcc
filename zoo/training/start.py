"""Starting a training from the weights of another one, on whatever data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, listing
from zoo.inference.files import read
from zoo.inference.locate import locate
from zoo.inference.rebuild import check_finite
from zoo.layers.pretrained import tensors_hash
from zoo.registry.spec import in_words
from zoo.training.ema import EMA

_SHOWN = 3
"""Names of layers in the sentence about those that did not fit."""


class Start:
    """The weights of a checkpoint for networks that may be of another size, or of other classes.

    A layer is taken where the file has one of the same name whose tensors all have the same shapes;
    the others keep what they were drawn with. What a layer computes from its settings (its class
    names it in `constants`, as the filters of StyleGAN3) stays its own.

    Args:
        source: what `zoo.load` takes, but for exported programs: a checkpoint, a run's folder, a
            name of the embedded zoo, a published model.

    Attributes:
        note: what was taken and what not, a sentence; complete once all networks have started.

    Raises:
        ZooError: there is no such file, or it is a program without weights.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.source = os.fspath(source)
        self.file = locate(source)
        if self.file.suffix in (".onnx", ".pt2"):
            raise ZooError(
                f"model.start={source} is an exported program, without weights to start from: give "
                "a checkpoint or a .safetensors file."
            )
        self.info, self._state = read(self.file)
        self._counts: list[str] = []
        self._left: list[str] = []
        self._whole = False
        self._averaged = False

    def networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Give both networks the layers that fit.

        Raises:
            ZooError: none of the file's layers fits, or one holds NaN or infinite weights.
        """
        left, taken = self._give(generator, "generator", self._of("generator."))
        self._whole = not left
        held = self._of("discriminator.")
        if held:
            taken += self._give(discriminator, "discriminator", held)[1]
        else:
            self._counts.append("the discriminator (none in the file)")
        if not taken:
            raise ZooError(
                f"model.start={self.source} has no layer of a name and shape that this training "
                f"has: its generator is {in_words(self.info['generator'])}."
            )

    def average(self, ema: EMA) -> None:
        """Give the average the file's, which is then kept from the first update on.

        The usual ramp-up forgets the first weights at once, as those of a new training should be:
        it is left out, unless some layers of G start anew. A file without an average has its
        weights averaged from here on.
        """
        held = self._of("ema_generator.") or self._of("generator.")
        self._give(ema.module, "average", held)
        self._averaged = self._whole and not (ema.equal and ema.start)
        keep_average(ema, self.record())
        ema.averaged = int(self._averaged)  # to the mean of all weights it is the first of them

    def record(self) -> dict[str, Any]:
        """Where the weights came from, for the checkpoint, as plain values."""
        before = self.info.get("start")
        return {
            "source": self.source,
            "hash": tensors_hash(sorted(self._of("generator.").items())),
            "generator": self.info["generator"]["name"],
            "data": str(self.info["data"].get("name")),
            "images_seen": int(self.info.get("images_seen", 0)),
            "average": self._averaged,
            **({"start": before} if isinstance(before, dict) else {}),
        }

    @property
    def note(self) -> str:
        was = self.record()
        text = (
            f"training starts from {self.source} ({was['generator']}, {was['images_seen']:,} "
            f"images of {was['data']}), with the layers of {listing(self._counts)}"
        )
        more = len(self._left) - _SHOWN
        shown = [*self._left[:_SHOWN], *([f"{more} more"] if more > 0 else [])]
        return f"{text}; new are {listing(shown)}." if shown else f"{text}."

    def renamed(self, names: Sequence[str]) -> list[str]:
        """A note where as many classes as `names` were others, or stood in another order."""
        before = list(self.info["data"].get("class_names") or ())
        if len(before) != len(names):
            return []
        for number, (was, now) in enumerate(zip(before, names, strict=True)):
            if was != now:
                return [
                    f"class {number} is {now!r} and was {was!r} in {self.source}: what it learned "
                    "of classes is taken by their numbers."
                ]
        return []

    def _of(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self._state.items() if k.startswith(prefix)}

    def _give(
        self, network: nn.Module, name: str, held: dict[str, Tensor]
    ) -> tuple[list[str], list[str]]:
        left, taken = give(network, held, f"model.start={self.source}")
        self._counts.append(f"the {name} ({len(taken)} of {len(left) + len(taken)})")
        if name != "average":
            self._left += [f"{name}.{layer}" for layer in left]
        return left, taken


def give(network: nn.Module, held: dict[str, Tensor], source: str) -> tuple[list[str], list[str]]:
    """Load the layers of `held` that fit `network` by name and shape.

    Returns:
        The names of the layers that did not fit, and of those that did.

    Raises:
        ZooError: a layer that fits holds NaN or infinite weights.
    """
    state = network.state_dict()
    weights = dict(network.named_parameters())
    left: list[str] = []
    taken: list[str] = []
    for layer, keys in _layers(network, state).items():
        if not all(key in held and _alike(held[key], state[key]) for key in keys):
            left.append(layer)
            continue
        for key in keys:
            check_finite(held[key], key in weights, key, source)
            state[key] = held[key]
        taken.append(layer)
    network.load_state_dict(state)
    return left, taken


def _layers(network: nn.Module, keys: Iterable[str]) -> dict[str, list[str]]:
    """The tensors of each layer, but those that it computes from its settings.

    What the network holds beside its layers (a learned constant) is a layer of that name.
    """
    found: dict[str, list[str]] = {}
    modules = dict(network.named_modules())
    for key in keys:
        layer, _, name = key.rpartition(".")
        if name not in getattr(modules.get(layer), "constants", ()):
            found.setdefault(layer or name, []).append(key)
    return found


def _alike(one: Tensor, other: Tensor) -> bool:
    floats = one.is_floating_point(), other.is_floating_point()
    return one.shape == other.shape and (all(floats) or one.dtype == other.dtype)


def keep_average(ema: EMA | None, record: dict[str, Any] | None) -> None:
    """Leave out the average's ramp-up where it started from a trained one, also after a resume."""
    if ema is not None and record is not None and record.get("average") is True:
        ema.rampup = None
        if not ema.equal:
            ema.start = 0
