"""A few training steps in one process, or in two that share the batch; new processes import this.

Every process draws random numbers for the whole batch and then takes its own rows, so that one
process and two see the same images, latents and augmentations. Differences can only come from parts
that depend on the batch. Row i belongs to process i mod 2, like groups of minibatch standard
deviation.
"""

from __future__ import annotations

from typing import Any

import torch
from adversarial import CLASSES, TinyGenerator
from one_of_two import one_of_two
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import zoo.registry as registry
from zoo.contracts.discriminator import Discriminator
from zoo.core.distributed import average_gradients
from zoo.layers.linear import Conv2d
from zoo.layers.minibatch import MinibatchStandardDeviation
from zoo.training.backend import Backend
from zoo.training.step import AdversarialStep

BATCH, STEPS, GROUP = 12, 4, 6  # a whole number of intervals of adaptive augmentations
Case = tuple[str, str, dict[str, Any]]
SIZED = (torch.rand, torch.randn)
LIKE = (torch.rand_like, torch.randn_like)


class Shards(TorchFunctionMode):
    """A mode in which random tensors with `rows` rows, or a multiple, are shares of larger ones.

    Args:
        rank: the index of this process.
        world: the number of processes.
        rows: the number of images of this process.
    """

    def __init__(self, rank: int, world: int, rows: int) -> None:
        super().__init__()
        self.rank, self.world, self.rows = rank, world, rows

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in SIZED:
            size = kwargs.pop("size", args[0] if args and not isinstance(args[0], int) else args)
            return self.share(size, lambda full: func(full, **kwargs))
        if func in LIKE:
            like, draw = args[0], {torch.rand_like: torch.rand, torch.randn_like: torch.randn}[func]
            options = {"dtype": like.dtype, "device": like.device} | kwargs
            return self.share(like.shape, lambda full: draw(full, **options))
        if func is torch.randint:
            *bounds, size = args
            return self.share(size, lambda full: func(*bounds, full, **kwargs))
        return func(*args, **kwargs)

    def share(self, size: Any, draw: Any) -> Tensor:
        """Draw numbers for the whole batch and return this process's share."""
        size = tuple(size)
        # The first dimension that counts images: diffaugment draws three numbers for each.
        axis = next((i for i, s in enumerate(size[:2]) if s and s % self.rows == 0), None)
        if axis is None:
            return draw(size)
        full = draw((*size[:axis], self.world * size[axis], *size[axis + 1 :]))
        return full.unflatten(axis, (-1, self.world)).select(axis + 1, self.rank)


class Averaging(Backend):
    """A backend of two processes that averages gradients, as Lightning does."""

    world_size = 2

    def sync_gradients(self, network: nn.Module) -> None:
        average_gradients(network)


class Critic(Discriminator):
    """A small D, optionally with minibatch standard deviation or spectral norm."""

    def __init__(self, head: Any = "projection", layer: str = "") -> None:
        super().__init__(8, 2, CLASSES, head=head)
        normed = layer == "spectral_norm"
        self.conv = Conv2d(self.in_channels, 4, 3, 2, 1, spectral_norm=normed)
        self.middle = MinibatchStandardDeviation(GROUP) if layer == "minibatch" else nn.Identity()
        self.attach_head((5 if layer == "minibatch" else 4) * 16)

    def features(self, x: Tensor) -> Tensor:
        return self.middle(self.conv(x).tanh()).flatten(1)

    def stages(self) -> list[nn.Module]:
        return [self.conv]


def step_with(case: Case, backend: Backend) -> AdversarialStep:
    """Create a step with SGD on small networks, with the part of the case."""
    kind, name, options = case
    made: dict[str, Any] = {"loss": registry.create("loss", "bce"), "head": "projection"}
    torch.manual_seed(0)
    generator = TinyGenerator(norm=False)
    generator.latent = registry.create("latent", "codes", dim=6, categorical=[3], continuous=1)
    if kind == "head":
        made["head"] = registry.factory("head", name, **options)
        made["head"].latent = generator.latent
    elif kind != "layer":
        made[kind] = registry.create(kind, name, **options)
    discriminator = Critic(made["head"], name if kind == "layer" else "")
    regularizers = made["loss"].regularizers()
    regularizers += [made[kind]] if kind == "regularizer" else []
    for regularizer in regularizers:
        regularizer.every = 1
    return AdversarialStep(
        generator,
        discriminator,
        made["loss"],
        torch.optim.SGD(generator.parameters(), 0.1),
        torch.optim.SGD(discriminator.parameters(), 0.1),
        regularizers=regularizers,
        augmentations=[made["augmentation"]] if kind == "augmentation" else [],
        backend=backend,
    )


def trained(case: Case, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
    """Return weights, buffers and metrics after a few steps; metrics are this process's own."""
    torch.set_default_dtype(torch.float64)
    step = step_with(case, Averaging() if world > 1 else Backend())
    rows = BATCH // world
    metrics: dict[str, Tensor] = {}
    torch.manual_seed(1)
    with Shards(rank, world, rows):
        for index in range(STEPS):
            images = torch.rand(rows, 2, 8, 8) * 2 - 1
            labels = torch.randint(0, CLASSES, (rows,))
            metrics = step(images, labels, index)
    state = {f"G {k}": v for k, v in step.generator.state_dict().items()}
    state |= {f"D {k}": v for k, v in step.discriminator.state_dict().items()}
    for part in (*step.regularizers.values(), *step.augmentations):
        state |= {f"{type(part).__name__} {k}": v for k, v in part.named_buffers()}
    return state | {f"metric {k}": v for k, v in metrics.items()}


def process(rank: int, path: str, cases: list[Case]) -> None:
    """Run all cases as one of two processes; the first one saves the results."""
    with one_of_two(rank, path):
        found = {}
        for case in cases:
            state = trained(case, rank, 2)
            for name, value in state.items():
                if name.startswith("metric"):
                    torch.distributed.all_reduce(value)
                    state[name] = value / 2
            found[repr(case)] = state
        if rank == 0:
            torch.save(found, f"{path}/found.pt")
