"""Adam for steps in a CUDA graph whose betas change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zoo.core import torch_internals as lists


class DeviceAdam(torch.optim.Adam):
    """Adam, or AdamW, that reads its betas from the device, as a graph must where they change.

    torch's own takes them as numbers, which a graph would freeze. What it computes is the same but
    for rounding, in about twenty kernels instead of one.

    Args:
        weights: of one network.
        lr: learning rate.
        betas: decays of the two moments.
        eps: added to the denominator.
        weight_decay: L2 penalty, or what AdamW takes off the weights at each step.
        decoupled: AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101).
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
    ) -> None:
        super().__init__(
            weights,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled,
        )
        device = self.param_groups[0]["params"][0].device
        # In float64, where 1 - 0.999 keeps its digits.
        self._betas = [
            torch.zeros(2, dtype=torch.float64, device=device) for _ in self.param_groups
        ]
        self.hold_betas()

    def hold_betas(self) -> None:
        """Bring the groups' betas to the device; whoever changes them calls it, outside a graph."""
        for group, held in zip(self.param_groups, self._betas, strict=True):
            for i, value in enumerate(group["betas"]):
                held[i].fill_(value)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, held in zip(self.param_groups, self._betas, strict=True):
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._update(weights, group, *held.unbind())
        return loss

    def _update(
        self, weights: list[Tensor], group: dict[str, Any], beta1: Tensor, beta2: Tensor
    ) -> None:
        states = [self._state_of(p) for p in weights]
        counts, first, second = (
            [s[name] for s in states] for name in ("step", "exp_avg", "exp_avg_sq")
        )
        gradients: list[Tensor] = [p.grad for p in weights]  # type: ignore[misc]
        lr, decay = group["lr"], group["weight_decay"]
        if decay and group["decoupled_weight_decay"]:
            lists.mul_(weights, 1 - lr * decay)
        elif decay:
            gradients = [*lists.add(gradients, weights, alpha=decay)]
        lists.add_(counts, 1)
        lists.mul_(first, beta1)
        lists.add_(first, lists.mul(gradients, 1 - beta1))
        lists.mul_(second, beta2)
        lists.add_(second, lists.mul(lists.mul(gradients, gradients), 1 - beta2))
        # A weight that was frozen for a while has seen fewer steps than the others.
        steps = torch.stack(counts).double()
        below = lists.sqrt(second)
        lists.mul_(below, (1 - beta2**steps).rsqrt().to(weights[0].dtype).unbind())
        lists.add_(below, group["eps"])
        moves = lists.div(first, below)
        lists.mul_(moves, (lr / (1 - beta1**steps)).to(weights[0].dtype).unbind())
        lists.sub_(weights, moves)

    def _state_of(self, weight: Tensor) -> dict[str, Tensor]:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        found: dict[str, Tensor] = state
        return found
