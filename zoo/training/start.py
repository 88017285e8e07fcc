"""Starting a training from the weights of another one, which may have used other data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, listing
from zoo.inference.files import PROGRAMS, read
from zoo.inference.locate import locate
from zoo.inference.rebuild import check_finite
from zoo.layers.pretrained import tensors_hash
from zoo.registry.spec import in_words
from zoo.training.ema import EMA

_SHOWN = 3
"""How many of the layers that did not fit are named in the note."""


class Start:
    """Initial weights from a checkpoint, for networks that may differ in size or classes.

    A layer takes its weights from the file if the file has a layer of the same name whose tensors
    all have the same shapes; otherwise it keeps its random initialization. Tensors that a layer
    computes from its settings (its class lists them in `constants`, such as the filters of
    StyleGAN3) are never replaced.

    Args:
        source: Anything that `zoo.load` accepts, except exported programs: a checkpoint, a run's
            folder, the name of an embedded model, or a published model.

    Attributes:
        note: A sentence on which layers were loaded; complete once all networks have been.

    Raises:
        ZooError: There is no such file, or it is an exported program without weights.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.source = os.fspath(source)
        self.file = locate(source)
        if self.file.suffix in PROGRAMS:
            raise ZooError(
                f"model.start={source} is an exported program without weights to start from: use a "
                "checkpoint or a .safetensors file."
            )
        self.info, self._state = read(self.file)
        self._counts: list[str] = []
        self._left: list[str] = []
        self._whole = False
        self._averaged = False

    def networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Load the layers that fit into both networks.

        Raises:
            ZooError: None of the file's layers fits, or one has NaN or infinite weights.
        """
        left, taken = self._load(generator, "generator", self._weights_of("generator."))
        self._whole = not left
        weights = self._weights_of("discriminator.")
        if weights:
            taken += self._load(discriminator, "discriminator", weights)[1]
        else:
            self._counts.append("the discriminator (none in the file)")
        if not taken:
            raise ZooError(
                f"model.start={self.source} has no layer whose name and shape match one of this "
                "training: train the same networks with the same options and size; the generator "
                f"in {self.source} is {in_words(self.info['generator'])}."
            )

    def average(self, ema: EMA) -> None:
        """Start the average from the file's average, or from its plain weights if it has none.

        The average's ramp-up, which soon forgets the initial weights of a new training, is then
        disabled, unless some layers of G start from random weights.
        """
        weights = self._weights_of("ema_generator.") or self._weights_of("generator.")
        self._load(ema.module, "average", weights)
        self._averaged = self._whole and not (ema.equal and ema.start)
        keep_average(ema, self.record())
        ema.averaged = int(self._averaged)  # in a plain mean, they count as the first weights

    def record(self) -> dict[str, Any]:
        """Describe where the weights came from, as plain values for the checkpoint."""
        earlier = self.info.get("start")
        return {
            "source": self.source,
            "hash": tensors_hash(sorted(self._weights_of("generator.").items())),
            "generator": self.info["generator"]["name"],
            "data": str(self.info["data"].get("name")),
            "images_seen": int(self.info.get("images_seen", 0)),
            "average": self._averaged,
            **({"start": earlier} if isinstance(earlier, dict) else {}),
        }

    @property
    def note(self) -> str:
        record = self.record()
        text = (
            f"training starts from {self.source} ({record['generator']}, "
            f"{record['images_seen']:,} images of {record['data']}), "
            f"with the layers of {listing(self._counts)}"
        )
        more = len(self._left) - _SHOWN
        shown = [*self._left[:_SHOWN], *([f"{more} more"] if more > 0 else [])]
        return f"{text}; newly initialized: {listing(shown)}." if shown else f"{text}."

    def renamed(self, names: Sequence[str]) -> list[str]:
        """Return a note if the file has as many classes as `names`, but with other names."""
        before = list(self.info["data"].get("class_names") or ())
        if len(before) != len(names):
            return []
        for number, (was, now) in enumerate(zip(before, names, strict=True)):
            if was != now:
                return [
                    f"class {number} is {now!r} here but was {was!r} in {self.source}: classes are "
                    "matched by number, not by name."
                ]
        return []

    def _weights_of(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self._state.items() if k.startswith(prefix)}

    def _load(
        self, network: nn.Module, name: str, weights: dict[str, Tensor]
    ) -> tuple[list[str], list[str]]:
        left, taken = load_layers(network, weights, f"model.start={self.source}")
        self._counts.append(f"the {name} ({len(taken)} of {len(left) + len(taken)})")
        if name != "average":
            self._left += [f"{name}.{layer}" for layer in left]
        return left, taken


def load_layers(
    network: nn.Module, weights: dict[str, Tensor], source: str
) -> tuple[list[str], list[str]]:
    """Load those layers of `weights` that fit the network by name and shape.

    Args:
        network: The network, which is changed in place.
        weights: The state of another network.
        source: Where the weights come from, for messages.

    Returns:
        The names of the network's layers that did not fit, and of those that did.

    Raises:
        ZooError: A layer that fits has NaN or infinite weights.
    """
    state = network.state_dict()
    parameters = dict(network.named_parameters())
    left: list[str] = []
    taken: list[str] = []
    for layer, keys in _layers(network, state).items():
        if not all(key in weights and _alike(weights[key], state[key]) for key in keys):
            left.append(layer)
            continue
        for key in keys:
            check_finite(weights[key], key in parameters, key, source)
            state[key] = weights[key]
        taken.append(layer)
    network.load_state_dict(state)
    return left, taken


def _layers(network: nn.Module, keys: Iterable[str]) -> dict[str, list[str]]:
    """Group the keys of a state dict by layer, without tensors that layers compute from settings.

    A parameter of the network itself, such as a learned constant, counts as a layer of its name.
    """
    layers: dict[str, list[str]] = {}
    modules = dict(network.named_modules())
    for key in keys:
        layer, _, name = key.rpartition(".")
        if name not in getattr(modules.get(layer), "constants", ()):
            layers.setdefault(layer or name, []).append(key)
    return layers


def _alike(one: Tensor, other: Tensor) -> bool:
    floats = one.is_floating_point(), other.is_floating_point()
    return one.shape == other.shape and (all(floats) or one.dtype == other.dtype)


def keep_average(ema: EMA | None, record: dict[str, Any] | None) -> None:
    """Disable the ramp-up of an average that started from trained weights, even after a resume."""
    if ema is not None and record is not None and record.get("average") is True:
        ema.rampup = None
        if not ema.equal:
            ema.start = 0
