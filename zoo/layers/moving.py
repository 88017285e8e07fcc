"""Moving averages of what passes through a layer in training."""

from __future__ import annotations

from torch import nn


def share_of_piece(share: float, pieces: int) -> float:
    """How far a moving average goes at one of so many pieces, if it goes by `share` at all of them.

    1 - (1 - share)^(1 / pieces): what is left of the old value is then (1 - share) after the last.
    """
    return share if pieces == 1 else 1 - (1 - share) ** (1 / pieces)


class MovingAverage:
    """Mixin of modules that average, in training, over the passes that they have seen.

    One whose average goes by the number of images of a pass needs none of it.

    Attributes:
        pieces: passes that an update takes for one, since its batch is shared into so many.
    """

    pieces: int = 1

    def share_of_pass(self, share: float) -> float:
        """How far the average goes at one pass, if it goes by `share` at an update."""
        return share_of_piece(share, self.pieces)


def share_into(pieces: int, *networks: nn.Module) -> None:
    """Tell the averages of networks into how many pieces the batch of an update is shared."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, MovingAverage):
                module.pieces = pieces
