"""The operations of the training step that depend on the training framework."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Backend:
    """Runs backward passes and optimizer steps in a single process, without loss scaling.

    A training framework overrides the methods to add gradient scaling, several processes and hooks.

    Attributes:
        world_size: The number of processes that train together.
        obstacle: A clause that says why these operations cannot be captured in a CUDA graph ("a
            gradient scaler waits for the device"); empty if they can.
    """

    world_size: int = 1
    obstacle: str = ""

    @property
    def loss_scale(self) -> Tensor | float:
        """The factor that scales gradients during a backward pass; a tensor on the device, or 1."""
        return 1.0

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Compute gradients; a gradient scaler scales the loss first."""
        loss.backward(retain_graph=retain_graph)

    def sync_gradients(self, network: nn.Module) -> None:
        """Average the gradients of `network` over processes."""

    def optimize(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        """Step the optimizer of `network`, after unscaling and clipping its gradients if needed."""
        optimizer.step()

    def count_step(self) -> None:
        """Count one whole training step; called even if the step was replayed from a CUDA graph."""
