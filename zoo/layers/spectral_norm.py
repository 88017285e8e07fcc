"""Spectral normalisation: division of a weight by an estimate of its largest singular value.

Paper: Miyato et al. (2018), arXiv:1802.05957.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_ITERATIONS = 15


class SpectralNorm(nn.Module):
    """Divide a weight, reshaped to a matrix (out, -1), by its largest singular value sigma.

    The singular vectors `u` and `v` are buffers, updated by one power iteration per call in
    training and by none in eval mode. Gradients flow through sigma = u^T W v, not through u and v.
    The estimate is computed in fp32, or in fp64 for such a weight, regardless of autocast.

    Args:
        weight: the weight to normalise, of any shape with the outputs first.
        eps: lower bound of the norms used as divisors.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, eps: float = 1e-12) -> None:
        super().__init__()
        self.eps = eps
        wide = torch.promote_types(weight.dtype, torch.float32)
        matrix = weight.detach().flatten(1).to(wide)
        self.register_buffer("u", F.normalize(torch.randn(len(matrix)).to(matrix), dim=0, eps=eps))
        self.register_buffer("v", torch.zeros_like(matrix[0]))
        # On the meta device there are no numbers, and thousands of operations would take seconds.
        for _ in range(0 if matrix.is_meta else INITIAL_ITERATIONS):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.v.copy_(F.normalize(matrix.T.mv(self.u), dim=0, eps=self.eps))
        self.u.copy_(F.normalize(matrix.mv(self.v), dim=0, eps=self.eps))

    def follow(self, weight: Tensor) -> None:
        """Run one power iteration on a changed weight, outside of a forward pass."""
        with torch.autocast(weight.device.type, enabled=False):
            self._iterate(weight.detach().flatten(1).to(self.u.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        """Return `weight / sigma`, in the shape and dtype of `weight`."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1).to(self.u.dtype)
            if self.training:
                self._iterate(matrix.detach())
            # Cloned, since another pass may change the buffers before this one's backward pass.
            u, v = self.u.clone(), self.v.clone()
            sigma = torch.dot(u, matrix.mv(v))
            return weight / sigma.to(weight.dtype)
