"""Adam with betas on the device, so that they can change within a CUDA graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zoo.core import torch_internals as lists


class DeviceAdam(torch.optim.Adam):
    """Adam, or AdamW, that reads its betas from tensors on the device.

    torch's Adam takes them as Python numbers, which a CUDA graph would freeze. The results are the
    same up to rounding, with about twenty kernels instead of one.

    Args:
        weights: The parameters to optimize.
        lr: The learning rate.
        betas: The decay rates of the two moments.
        eps: A term added to the denominator for numerical stability.
        weight_decay: The factor of the L2 penalty, or of AdamW's decoupled weight decay.
        decoupled: Whether to use AdamW (Loshchilov & Hutter, 2019, arXiv:1711.05101).
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
        # In float64, so that 1 - 0.999 is precise.
        self._betas = [
            torch.zeros(2, dtype=torch.float64, device=device) for _ in self.param_groups
        ]
        self.hold_betas()

    def hold_betas(self) -> None:
        """Copy the groups' betas to the device.

        Call this after changing them, outside of a CUDA graph.
        """
        for group, betas in zip(self.param_groups, self._betas, strict=True):
            for i, value in enumerate(group["betas"]):
                betas[i].fill_(value)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, betas in zip(self.param_groups, self._betas, strict=True):
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._update(weights, group, *betas.unbind())
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
        # One count per weight, since a weight that was frozen for a while has seen fewer steps.
        steps = torch.stack(counts).double()
        denominators = lists.sqrt(second)
        lists.mul_(denominators, (1 - beta2**steps).rsqrt().to(weights[0].dtype).unbind())
        lists.add_(denominators, group["eps"])
        moves = lists.div(first, denominators)
        lists.mul_(moves, (lr / (1 - beta1**steps)).to(weights[0].dtype).unbind())
        lists.sub_(weights, moves)

    def _state_of(self, weight: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        return state
