"""What a training framework replaces in the step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Backend:
    """The calls that a training framework replaces by its own: precision, scaling, processes.

    Attributes:
        world_size: processes that train together.
        obstacle: why these calls cannot be captured in a CUDA graph, as a clause ("a gradient
            scaler waits for the device"); empty where they can.
    """

    world_size: int = 1
    obstacle: str = ""

    @property
    def loss_scale(self) -> Tensor | float:
        """What gradients are larger by within a backward pass; a tensor on the device, or 1."""
        return 1.0

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Compute gradients; a gradient scaler scales here."""
        loss.backward(retain_graph=retain_graph)

    def sync_gradients(self, network: nn.Module) -> None:
        """Average the gradients of `network` over processes."""

    def optimize(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        """Step the optimizer of `network`; clipping and unscaling belong here."""
        optimizer.step()

    def count_step(self) -> None:
        """Called after every whole step, also where the rest was replayed from a CUDA graph."""
