"""Moving averages that layers update in training."""

from __future__ import annotations

from torch import nn


def share_of_piece(share: float, pieces: int) -> float:
    """Return how far a moving average moves per piece, if it moves by `share` over all `pieces`.

    1 - (1 - share)^(1 / pieces): after the last piece, (1 - share) of the old value is left.
    """
    return share if pieces == 1 else 1 - (1 - share) ** (1 / pieces)


class MovingAverage:
    """Mixin of modules with an average over the passes seen in training.

    Modules whose average accounts for the number of images of a pass do not need it.

    Attributes:
        pieces: number of passes that make up one update, whose batch is split into as many pieces.
    """

    pieces: int = 1

    def share_of_pass(self, share: float) -> float:
        """Return how far the average moves per pass, if it moves by `share` per update."""
        return share_of_piece(share, self.pieces)


def share_into(pieces: int, *networks: nn.Module) -> None:
    """Tell the moving averages of networks into how many pieces the batch of an update is split."""
    for network in networks:
        for module in network.modules():
            if isinstance(module, MovingAverage):
                module.pieces = pieces
