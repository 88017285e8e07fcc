"""Tiny networks, and a plain training loop written from the formulas, to compare the step with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import zoo.registry as registry
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep

LATENT, CLASSES, BATCH = 6, 3, 4
BETAS = (0.5, 0.9)
EPS = 1e-4  # large, so that gradients that are 0 except for rounding do not change a weight


class TinyGenerator(Generator):
    def __init__(self, norm: bool = True) -> None:
        super().__init__(8, 2, LATENT, CLASSES)
        self.embed = nn.Embedding(CLASSES, LATENT)
        # Before batch norm, the gradient of a bias is only noise, which Adam would amplify.
        self.inner = nn.Linear(LATENT, 16, bias=not norm)
        self.norm = nn.BatchNorm1d(16) if norm else nn.Identity()
        self.outer = nn.Linear(16, 2 * 8 * 8)

    def forward(self, z, y=None):
        z = z if y is None else z + self.embed(y)
        return self.outer(self.norm(self.inner(z)).tanh()).tanh().view(-1, 2, 8, 8)


class TinyDiscriminator(Discriminator):
    def __init__(self, norm: bool = False) -> None:
        super().__init__(8, 2, CLASSES, head="projection")
        self.conv = nn.Conv2d(2, 4, 3, 2, 1, bias=not norm)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.attach_head(4 * 16)

    def features(self, x):
        return self.norm(self.conv(x)).tanh().flatten(1)

    def forward(self, x, y=None):  # the head needs labels; without them, all are class 0
        y = torch.zeros(len(x), dtype=torch.int64) if y is None else y
        return super().forward(x, y)


def plain_losses(name, real, fake):
    """Return the mean losses of D and G, written as in the papers."""
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    bce = F.binary_cross_entropy_with_logits
    if name == "bce":
        return bce(real, ones) + bce(fake, zeros), bce(fake, ones)
    if name == "minimax":
        return bce(real, ones) + bce(fake, zeros), -bce(fake, zeros)
    if name == "lsgan":
        return (F.mse_loss(real, ones) + F.mse_loss(fake, zeros)) / 2, F.mse_loss(fake, ones) / 2
    if name == "hinge":
        return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()
    if name in ("wgan", "wgan_gp"):
        return fake.mean() - real.mean(), -fake.mean()
    assert name == "rpgan"
    return bce(real - fake, ones), bce(fake - real, ones)


def plain_penalty(name, d, real, fake, labels):
    def slopes(x):
        x = x.detach().requires_grad_()
        gradient = torch.autograd.grad(d(x, labels).sum(), x, create_graph=True)[0]
        return (gradient**2).sum((1, 2, 3)) + 1e-30

    if name == "r1":
        return 10 / 2 * slopes(real).mean()
    if name == "r2":
        return 10 / 2 * slopes(fake).mean()
    if name == "dragan":
        return (
            10 * ((slopes(real + 0.5 * real.std() * torch.rand_like(real)).sqrt() - 1) ** 2).mean()
        )
    assert name == "gradient_penalty"
    e = torch.rand(len(real), 1, 1, 1)
    return 10 * ((slopes(e * real + (1 - e) * fake).sqrt() - 1) ** 2).mean()


class PlainLoop:
    """A textbook loop: separate passes, nothing frozen, nothing shared, no fused optimizer."""

    def __init__(self, g, d, loss, penalties=(), every=1, d_steps=1, reuse=True, clip=None):
        self.g, self.d, self.loss, self.penalties = g, d, loss, penalties
        self.every, self.d_steps, self.reuse, self.clip = every, d_steps, reuse, clip
        self.opt_g = torch.optim.Adam(g.parameters(), lr=1e-3, betas=BETAS, eps=EPS, foreach=False)
        self.opt_d = torch.optim.Adam(d.parameters(), lr=1e-3, betas=BETAS, eps=EPS, foreach=False)
        self.updates = 0

    def step(self, images, labels):
        size = len(images) // self.d_steps
        for j in range(self.d_steps):
            x = images[j * size : (j + 1) * size]
            y = None if labels is None else labels[j * size : (j + 1) * size]
            fake = self.g(torch.randn(size, LATENT), y)
            loss_d, _ = plain_losses(self.loss, self.d(x, y), self.d(fake.detach(), y))
            total = loss_d
            if self.updates % self.every == 0:
                for name in self.penalties:
                    total = total + self.every * plain_penalty(name, self.d, x, fake.detach(), y)
            self.opt_d.zero_grad()
            total.backward()
            self.opt_d.step()
            if self.clip:
                for p in self.d.parameters():
                    p.data.clamp_(-self.clip, self.clip)
            self.updates += 1
        if not self.reuse:
            fake = self.g(torch.randn(size, LATENT), y)
        scores = (
            [self.d(x, y), self.d(fake, y)] if self.loss == "rpgan" else [fake, self.d(fake, y)]
        )
        loss_g = plain_losses(self.loss, *scores)[1] if self.loss == "rpgan" else (
            plain_losses(self.loss, scores[1].detach(), scores[1])[1]
        )  # fmt: skip
        self.opt_g.zero_grad()
        loss_g.backward()
        self.opt_g.step()
        return {"loss_d": loss_d.detach(), "loss_g": loss_g.detach()}


def networks(d_norm=False, g_norm=True):
    torch.manual_seed(0)
    return TinyGenerator(g_norm), TinyDiscriminator(d_norm)


def make_step(g, d, loss, regularizers=(), lr=1e-3, **options):
    made = registry.create("loss", loss) if isinstance(loss, str) else loss
    return AdversarialStep(
        g,
        d,
        made,
        adam(g.parameters(), lr, BETAS, eps=EPS),
        adam(d.parameters(), lr, BETAS, eps=EPS),
        regularizers=[*made.regularizers(), *regularizers],
        **options,
    )


def batch(seed, d_steps=1, conditional=True):
    torch.manual_seed(seed)
    images = torch.rand(d_steps * BATCH, 2, 8, 8) * 2 - 1
    return images, torch.randint(0, CLASSES, (len(images),)) if conditional else None


def assert_same(a: nn.Module, b: nn.Module, **tolerance):
    for (name, p), q in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        torch.testing.assert_close(p, q, **tolerance, msg=lambda m, name=name: f"{name}: {m}")


def compare(step, loop, steps=3, conditional=True):
    for index in range(steps):
        images, labels = batch(index, loop.d_steps, conditional)
        torch.manual_seed(100 + index)
        got = step(images, labels, index)
        torch.manual_seed(100 + index)
        want = loop.step(images, labels)
        for name, value in want.items():
            torch.testing.assert_close(got[name], value)
            assert not got[name].requires_grad
    assert_same(step.generator, loop.g)
    assert_same(step.discriminator, loop.d)
