"""The latents of given pictures: which ones a trained generator makes most like them.

    found = zoo.load("mnist").project(images, labels=5)
    zoo.show(found.images)

Paper: Karras et al. (2020), arXiv:1912.04958, appendix D, whose schedules these are.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent
from zoo.core.errors import ZooError, above, at_least
from zoo.core.random import forked_random, seeded
from zoo.inference.exported import ExportedGenerator
from zoo.inference.files import write_tensors
from zoo.inference.truncation import prior
from zoo.layers.perceptual import PerceptualDistance
from zoo.layers.pretrained import lite_command, lite_package
from zoo.registry.calls import held_to_annotations

_SMALLEST = 32
"""Side below which the features see too little."""
_NOISE_WEIGHT = 1e5
_PRIOR_WEIGHT = 1e-3
_FEATURES = "tf_efficientnet_lite0"
_FRAMES = 8
_BLOCK = 64
"""Candidates that are looked at together."""

Watch = Callable[[float, Tensor], None]
"""Is told after each step how much of the search is done, 0 to 1, and the best image so far
(1, C, H, W); what it raises ends the search."""


@dataclass
class Projection:
    """What was found for pictures.

    Attributes:
        space: `z`, or `w` where the generator maps latents to styles.
        latents: (N, latent_dim), or styles (N, W) that all layers share.
        labels: (N,), or None.
        images: (N, C, H, W) that the generator makes of them.
        targets: (N, C, H, W), the pictures.
        errors: (N,), the distance at the end.
        first_errors: (N,), of the best of the latents drawn at random.
        origins: (N, latent_dim), the latent drawn at random from which the search came to each.
        distance: what it is, in words.
        frames: (N, frames, C, H, W) of the way.
        noise: where the generator adds noise, the maps found for each picture, by layer.
    """

    space: str
    latents: Tensor
    labels: Tensor | None
    images: Tensor
    targets: Tensor
    errors: Tensor
    first_errors: Tensor
    origins: Tensor
    distance: str
    frames: Tensor
    noise: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path) -> Path:
        """Write latents, labels, errors and noise as `.safetensors`."""
        tensors = {self.space: self.latents, "errors": self.errors}
        tensors |= {} if self.labels is None else {"labels": self.labels}
        tensors |= {f"noise.{name}": value for name, value in self.noise.items()}
        write_tensors(path, tensors)
        return path


def distance_of(features: bool | None, side: int) -> tuple[Callable[[Tensor, Tensor], Tensor], str]:
    """Per image the distance to targets, and what it is in words.

    Args:
        features: beside pixels, or not; None takes them where their package is installed and the
            images are large enough.
        side: the shorter one of the images.
    """
    package = lite_package(_FEATURES)
    installed = package is not None and importlib.util.find_spec(package) is not None
    if features is None:
        if not installed and side >= _SMALLEST:
            return _pixels, f"mean square of pixels; with features: {lite_command(_FEATURES)}"
        features = installed and side >= _SMALLEST
    if not features:
        return _pixels, "mean square of pixels"
    perceptual = PerceptualDistance("task project")

    def both(images: Tensor, targets: Tensor) -> Tensor:
        return _pixels(images, targets) + perceptual.to(images.device)(images, targets)

    return both, "mean square of pixels + features of efficientnet_lite0"


def _pixels(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).square().flatten(1).mean(1)


@held_to_annotations("model.project")
def project(
    network: Generator,
    targets: Tensor,
    labels: Tensor | None = None,
    *,
    steps: int = 500,
    starts: int = 4,
    candidates: int = 1000,
    lr: float = 0.1,
    seed: int = 0,
    features: bool | None = None,
    noise: bool = True,
    seconds: float | None = None,
    watch: Watch | None = None,
) -> Projection:
    """Find the latents of pictures (N, C, H, W) in [-1, 1].

    Args:
        labels: (N,) of the pictures; None takes those of the nearest candidates.
        steps: of Adam.
        starts: of the candidates that are followed; the best one is kept.
        candidates: latents drawn at random.
        lr: largest learning rate.
        seed: of everything random.
        features: see `distance_of`.
        noise: find noise maps too, where the generator has some.
        seconds: for one picture; what `steps` would pass of them is drawn together, and of the
            candidates as many are looked at as fit into a quarter. None for no limit.
        watch: is told how far the search for the picture at hand is; see `Watch`.

    Raises:
        ZooError: pictures of another shape, or a generator without gradients.
    """
    for name, value in {"steps": steps, "starts": starts, "candidates": candidates}.items():
        at_least(1, "project: ", **{name: value})
    above(0, "project: ", seconds=seconds)
    shape = (network.channels, network.height, network.width)
    if isinstance(network, ExportedGenerator):
        raise ZooError("project follows gradients, which an exported program has none of.")
    if targets.dim() != 4 or tuple(targets.shape[1:]) != shape:
        raise ZooError(
            f"project takes images of (N, {', '.join(map(str, shape))}), and got "
            f"{tuple(targets.shape)}."
        )
    if not network.num_classes:
        labels = None
    elif labels is not None and len(labels) != len(targets):
        raise ZooError(f"{len(targets)} images need as many labels, and got {len(labels)}.")
    distance, words = distance_of(features, min(shape[1:]))
    device = next(network.parameters()).device
    frozen = [p for p in network.parameters() if p.requires_grad]
    network.requires_grad_(False)
    search = _Search(
        network, distance, steps, min(starts, candidates), candidates, lr, noise, seconds, watch
    )
    found: list[_Found] = []
    try:
        with forked_random():
            for i, target in enumerate(targets.to(device).split(1)):
                torch.manual_seed(seed)
                label = None if labels is None else labels[i : i + 1].to(device)
                found.append(search(target, label, seeded(seed)))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    names = found[0].noise
    found_labels = [f.label for f in found if f.label is not None]
    return Projection(
        space="w" if network.has_mapping else "z",
        latents=torch.cat([f.latent for f in found]).cpu(),
        labels=torch.cat(found_labels).cpu() if found_labels else None,
        images=torch.cat([f.frames[-1:] for f in found]).cpu(),
        targets=targets.cpu(),
        errors=torch.tensor([f.error for f in found]),
        first_errors=torch.tensor([f.first for f in found]),
        origins=torch.cat([f.origin for f in found]).cpu(),
        distance=words,
        frames=torch.stack([f.frames for f in found]).cpu(),
        noise={k: torch.cat([f.noise[k] for f in found]).cpu() for k in names},
    )


@dataclass
class _Found:
    latent: Tensor
    origin: Tensor
    label: Tensor | None
    frames: Tensor
    error: float
    first: float
    noise: dict[str, Tensor]


@dataclass
class _Search:
    """Adam on a few latents at once, of which the best is kept."""

    network: Generator
    distance: Callable[[Tensor, Tensor], Tensor]
    steps: int
    starts: int
    candidates: int
    lr: float
    with_noise: bool
    seconds: float | None
    watch: Watch | None

    def __call__(self, target: Tensor, label: Tensor | None, random: torch.Generator) -> _Found:
        began = time.monotonic()
        network = self.network
        z = network.sample_latent(self.candidates, random)
        y = None
        if label is not None:
            y = label.expand(len(z))
        elif network.num_classes:
            y = torch.randint(network.num_classes, (len(z),), generator=random).to(z.device)
        with torch.no_grad():
            latents = self._of(z, y)
            firsts = self._errors(latents, y, target, began)
        best = firsts.argsort()[: self.starts]
        maps = self._noise_maps()
        if maps:
            best = best[:1]  # the noise belongs to one picture
        labels = None if y is None else y[best]
        deviation = (latents - latents.mean(0)).square().sum(1).mean().sqrt()
        kept = {name: module.noise_map for name, module in maps.items()}
        try:
            return self._descend(
                latents[best].clone(), z[best], labels, target, deviation, maps, firsts, began
            )
        finally:
            for name, module in maps.items():
                module.noise_map = kept[name]

    def _of(self, z: Tensor, y: Tensor | None) -> Tensor:
        """What is searched: latents, or the one style (N, W) that layers share."""
        if not self.network.has_mapping:
            return z
        w = self.network.map(z, y)
        return w[:, 0] if w.dim() == 3 else w

    def _images(self, latents: Tensor, y: Tensor | None) -> Tensor:
        network = self.network
        if not network.has_mapping:
            return network(latents, y).clamp(-1, 1)
        layers = getattr(network, "styles", None)
        w = latents if layers is None else latents[:, None].expand(-1, layers, -1)
        return network.synthesize(w, y).clamp(-1, 1)

    def _spent(self, began: float) -> float:
        """The share of the seconds that have passed."""
        return 0.0 if self.seconds is None else (time.monotonic() - began) / self.seconds

    def _tell(self, done: float, images: Tensor, errors: Tensor) -> None:
        if self.watch is not None:
            best = int(errors.argmin())
            self.watch(done, images[best : best + 1].detach())

    def _errors(self, latents: Tensor, y: Tensor | None, target: Tensor, began: float) -> Tensor:
        """Distances of the first candidates (n,), of all where time does not press."""
        found: list[Tensor] = []
        for i in range(0, len(latents), _BLOCK):
            if found and self._spent(began) > 0.25:
                break
            labels = None if y is None else y[i : i + _BLOCK]
            images = self._images(latents[i : i + _BLOCK], labels)
            found.append(self.distance(images, target.expand_as(images)))
            self._tell(0.0, images, found[-1])
        return torch.cat(found)

    def _noise_maps(self) -> dict[str, torch.nn.Module]:
        if not self.with_noise:
            return {}
        modules = self.network.named_modules()
        return {n: m for n, m in modules if isinstance(getattr(m, "noise_map", None), Tensor)}

    def _descend(
        self,
        start: Tensor,
        origin: Tensor,
        y: Tensor | None,
        target: Tensor,
        deviation: Tensor,
        maps: dict[str, torch.nn.Module],
        firsts: Tensor,
        began: float,
    ) -> _Found:
        x = start.requires_grad_()
        noises = {}
        for name, module in maps.items():
            drawn = torch.randn_like(module.noise_map)  # type: ignore[arg-type]
            noises[name] = module.noise_map = drawn.requires_grad_()
        optimizer = torch.optim.Adam([x, *noises.values()], lr=self.lr, betas=(0.9, 0.999))
        targets = target.expand(len(x), -1, -1, -1)
        known = None if self.network.has_mapping else prior(self.network)
        if known is not None and type(known).slope is Latent.slope:
            known = None
        ways: list[Tensor] = []
        step, done = 0, 0.0
        while done < 1:
            optimizer.param_groups[0]["lr"] = self.lr * ramp(done)
            moved = x
            if self.network.has_mapping:
                strength = 0.05 * deviation * max(0.0, 1 - done / 0.75) ** 2
                moved = x + strength * torch.randn_like(x)
            images = self._images(moved, y)
            distances = self.distance(images, targets)
            loss = distances.sum() + _NOISE_WEIGHT * sum(
                map(autocorrelation, noises.values()), x.new_zeros(())
            )
            optimizer.zero_grad()
            loss.backward()
            if known is not None:  # latents that the prior would not draw cost a little
                assert x.grad is not None
                x.grad -= _PRIOR_WEIGHT / x.shape[1] * known.slope(x.detach())
            optimizer.step()
            if done >= len(ways) / (_FRAMES - 1):
                ways.append(images.detach())
            for value in noises.values():
                normalise(value)
            step += 1
            done = max(step / self.steps, self._spent(began))
            self._tell(min(1.0, done), images, distances)
        with torch.no_grad():
            last = self._images(x, y)
            errors = self.distance(last, targets)
        ways.extend([last] * (_FRAMES - 1 - len(ways)))  # fewer steps than frames
        best = int(errors.argmin())
        return _Found(
            x[best : best + 1].detach(),
            origin[best : best + 1],
            None if y is None else y[best : best + 1],
            torch.stack([way[best] for way in [*ways, last]]),
            float(errors[best]),
            float(firsts.min()),
            {name: value.detach().clone() for name, value in noises.items()},
        )


def ramp(done: float) -> float:
    """The learning rate's factor: up in the first 5 %, down by a cosine in the last 25 %."""
    down = min(1.0, (1 - done) / 0.25)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, done / 0.05)


def autocorrelation(noise: Tensor) -> Tensor:
    """Sum of the squared mean products of a map (1, 1, H, W) with itself, one pixel on.

    Across and down, and again on the map at half the size (with its variance kept), down to 8.
    """
    total = noise.new_zeros(())
    while True:
        for axis in (2, 3):
            total = total + (noise * noise.roll(1, axis)).mean().square()
        if min(noise.shape[2:]) <= 8:
            return total
        noise = 2 * F.avg_pool2d(noise, 2)


@torch.no_grad()
def normalise(noise: Tensor) -> None:
    """Mean 0 and variance 1, in place."""
    noise.sub_(noise.mean()).mul_(noise.square().mean().clamp_min(1e-12).rsqrt())
