"""The plain training loop, as in a tutorial, with which every measurement is compared.

Real and generated images pass through D separately, D is not frozen in the update of G, Adam is
torch's default, and the memory format is contiguous. As in PyTorch's DCGAN tutorial, generated
images are detached for D and reused for G. Losses and penalties are written from their formulas.
The tuned loop differs by what three lines change: Adam is fused, D is frozen in the update of G,
and the memory format is channels-last.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

bce = F.binary_cross_entropy_with_logits


def bce_d(real: Tensor, fake: Tensor) -> Tensor:
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def rpgan_d(real: Tensor, fake: Tensor) -> Tensor:
    return bce(real - fake, torch.ones_like(fake))


LossD = Callable[[Tensor, Tensor], Tensor]
LossG = Callable[[Tensor, Tensor | None], Tensor]
LOSSES: dict[str, tuple[LossD, LossG]] = {
    "bce": (bce_d, lambda f, r: bce(f, torch.ones_like(f))),
    "minimax": (bce_d, lambda f, r: -bce(f, torch.zeros_like(f))),
    "lsgan": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda f, r: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "hinge": (lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(), lambda f, r: -f.mean()),
    "wgan": (wasserstein_d, lambda f, r: -f.mean()),
    "wgan_gp": (wasserstein_d, lambda f, r: -f.mean()),
    "rpgan": (rpgan_d, lambda f, r: rpgan_d(f, r)),
}


def _gradient(d: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    return gradient.flatten(1)


def gradient_penalty(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    e = torch.rand(len(real), 1, 1, 1, device=real.device)
    return 10 * ((_gradient(d, e * real + (1 - e) * fake).norm(dim=1) - 1) ** 2).mean()


def dragan(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    perturbed = real + 0.5 * real.std() * torch.rand_like(real)
    return 10 * ((_gradient(d, perturbed).norm(dim=1) - 1) ** 2).mean()


def r1(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return 10 / 2 * _gradient(d, real).square().sum(1).mean()


def r2(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return 10 / 2 * _gradient(d, fake).square().sum(1).mean()


def _slopes(d: nn.Module, x: Tensor) -> Tensor:
    """Return finite differences of D's scores in a random direction, with the same noise in D."""
    direction = torch.randn_like(x)
    with torch.random.fork_rng([x.device] if x.is_cuda else [], device_type="cuda"):
        there = d(x + 0.01 * direction)
    return (there - d(x)) / 0.01


def fd_r1(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return 0.1 / 2 * _slopes(d, real).square().mean()


def fd_r2(d: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return 0.1 / 2 * _slopes(d, fake).square().mean()


PENALTIES = {
    "gradient_penalty": gradient_penalty, "dragan": dragan,
    "r1": r1, "r2": r2, "fd_r1": fd_r1, "fd_r2": fd_r2,
}  # fmt: skip


class PlainLoop:
    """A training loop for one generator and one discriminator in plain PyTorch.

    Args:
        generator, discriminator: the networks.
        loss: a key of `LOSSES`; `wgan_gp` includes its penalty, and `wgan` clips D's weights.
        latent_dim: the size of the latent.
        lr, betas: the options of both Adam optimizers.
        penalty: a key of `PENALTIES`, or several joined by `+`; None for none.
        tuned: whether to use fused Adam and to freeze D in the update of G.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: str,
        latent_dim: int,
        lr: float,
        betas: tuple[float, float],
        penalty: str | None = None,
        tuned: bool = False,
    ) -> None:
        self.g, self.d = generator, discriminator
        self.loss_d, self.loss_g = LOSSES[loss]
        self.pairs, self.clips = loss == "rpgan", loss == "wgan"
        chosen = "gradient_penalty" if loss == "wgan_gp" else penalty
        self.penalties = [PENALTIES[name] for name in chosen.split("+")] if chosen else []
        self.latent_dim = latent_dim
        self.freezes = [p for p in discriminator.parameters() if p.requires_grad] if tuned else []
        fused = tuned or None
        self.optimizer_g = torch.optim.Adam(generator.parameters(), lr, betas, fused=fused)
        self.optimizer_d = torch.optim.Adam(discriminator.parameters(), lr, betas, fused=fused)

    def generate(self, n: int, device: torch.device) -> Tensor:
        return self.g(torch.randn(n, self.latent_dim, device=device))

    def discriminator_update(self, real: Tensor, fake: Tensor | None = None) -> Tensor:
        if fake is None:
            fake = self.generate(len(real), real.device)
        fake = fake.detach()
        loss = self.loss_d(self.d(real), self.d(fake))
        total = loss
        for penalty in self.penalties:
            total = total + penalty(self.d, real, fake)
        self.optimizer_d.zero_grad()
        total.backward()
        self.optimizer_d.step()
        if self.clips:
            for p in self.d.parameters():
                p.data.clamp_(-0.01, 0.01)
        return loss.detach()

    def generator_update(self, real: Tensor, fake: Tensor | None = None) -> Tensor:
        if fake is None:
            fake = self.generate(len(real), real.device)
        for p in self.freezes:
            p.requires_grad_(False)
        loss = self.loss_g(self.d(fake), self.d(real) if self.pairs else None)
        self.optimizer_g.zero_grad()
        loss.backward()
        self.optimizer_g.step()
        for p in self.freezes:
            p.requires_grad_(True)
        return loss.detach()

    def step(self, real: Tensor) -> tuple[Tensor, Tensor]:
        fake = self.generate(len(real), real.device)
        loss_d = self.discriminator_update(real, fake)
        return loss_d, self.generator_update(real, fake)
