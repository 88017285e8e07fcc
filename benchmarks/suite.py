"""The cases that `pytest --benchmark` and `python -m benchmarks` measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.cards import CARDS, Card, Contender, contenders
from benchmarks.peers import peers

LOSSES = ("bce", "minimax", "lsgan", "hinge", "wgan", "wgan_gp", "rpgan")
PENALTIES = ("r1", "r2", "gradient_penalty", "dragan")
TITLES = {
    "step": "One update of D and one of G",
    "discriminator": "One update of D",
    "generator": "One update of G",
    "penalty": "One update of D with a penalty",
    "loss": "One update of D and one of G, by loss",
}
_KEYS = {"step": "step", "discriminator": "d", "generator": "g", "penalty": "d", "loss": "step"}


@dataclass(frozen=True)
class Case:
    """One comparison: a part of training on one card.

    Attributes:
        part: a key of `TITLES`.
        card: the card.
        batch_size: the number of images in a batch.
        loss: a loss that replaces the card's; None for the card's own.
        penalty: a penalty that replaces the card's; None for the card's own.
    """

    part: str
    card: Card
    batch_size: int
    loss: str | None = None
    penalty: str | None = None

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.card.name, self.loss, self.penalty)))

    def contenders(self, device: torch.device, compiled: bool = False) -> dict[str, Contender]:
        """Return the contenders by name, beginning with `plain`."""
        found = contenders(device, compiled)
        if self.loss is None and self.penalty is None:
            found |= peers(self.card)
        return found

    def function(self, contender: Contender, device: torch.device) -> Callable[[], object] | None:
        """Return the function that runs this part for `contender`; None if it lacks the part."""
        changed = {"loss": self.loss, "penalty": self.penalty}
        options = {k: v for k, v in changed.items() if v is not None}
        return contender(self.card, self.batch_size, device, **options).get(_KEYS[self.part])


def cases(quick: bool = False, device: torch.device | None = None) -> list[Case]:
    """Return all cases, or in quick mode fewer cases with smaller batches for heavy cards.

    A CUDA device is fast enough for full batches in both modes.
    """
    small = quick and (device is None or device.type == "cpu")

    def size(card: Card) -> int:
        return 8 if small and card.heavy else 64

    made = [Case("step", card, size(card)) for card in CARDS.values()]
    resnets = [CARDS["sngan_32"], CARDS["wgan_gp_32"]]
    if quick:
        return made + [Case("discriminator", card, size(card)) for card in resnets]
    for part in ("discriminator", "generator"):
        made += [Case(part, card, size(card)) for card in CARDS.values()]
    made += [
        Case("penalty", card, 64, "hinge", penalty)
        for card in (CARDS["mlp_28"], CARDS["wgan_gp_32"])
        for penalty in PENALTIES
    ]
    for card in (CARDS["mlp_28"], CARDS["dcgan_32"]):
        # The D of dcgan_32 has batch norm, which gradient penalties do not support.
        made += [
            Case("loss", card, 64, loss)
            for loss in LOSSES
            if (card.name, loss) != ("dcgan_32", "wgan_gp")
        ]
    return made
