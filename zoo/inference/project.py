"""Projection: find the latents from which a trained generator reproduces given images.

    projection = zoo.load("mnist").project(images, labels=5)
    zoo.show(projection.images)

Paper: Karras et al. (2020), arXiv:1912.04958, appendix D, which also defines the schedules.
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
"""The smallest side of images for which features are useful."""
_NOISE_WEIGHT = 1e5
_PRIOR_WEIGHT = 1e-3
_FEATURES = "tf_efficientnet_lite0"
_FRAMES = 8
_BLOCK = 64
"""The number of candidates in a batch."""

Watch = Callable[[float, Tensor], None]
"""A function that is called after each step with the progress of the search, 0 to 1, and the best
image so far (1, C, H, W). An exception that it raises ends the search."""


@dataclass
class Projection:
    """The result of projecting images.

    Attributes:
        space: `z` for latents, or `w` for styles if the generator has a mapping network.
        latents: (N, latent_dim), or styles (N, W) that all layers share.
        labels: (N,), or None.
        images: the images (N, C, H, W) that the generator makes from the latents.
        targets: the given images (N, C, H, W).
        errors: the final distances (N,).
        first_errors: the distances (N,) of the nearest random candidates.
        origins: the random latents (N, latent_dim) from which the search started.
        distance: a description of the distance.
        frames: images (N, frames, C, H, W) from the course of the search.
        noise: the optimised noise maps by layer, if the generator adds noise.
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
    """Return a function for the distance of each image to its target, and its description.

    Args:
        features: whether to compare features in addition to pixels; None does so if their package
            is installed and the images are large enough.
        side: the shorter side of the images.
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
    """Find the latents of images (N, C, H, W) in [-1, 1].

    Args:
        network: the generator.
        targets: the images.
        labels: the classes (N,) of the images; None uses those of the nearest candidates.
        steps: the number of Adam's steps.
        starts: the number of nearest candidates that are optimised; the best result is returned.
        candidates: the number of random latents.
        lr: the largest learning rate.
        seed: the seed of everything random.
        features: see `distance_of`.
        noise: whether to optimise noise maps too, if the generator has any.
        seconds: the time limit for each image. The schedules are shortened to it, and at most a
            quarter of it is spent on candidates. None for no limit.
        watch: called with the progress of the current image; see `Watch`.

    Raises:
        ZooError: the images have another shape than the generator's, or the generator is an
            exported program.
    """
    for name, value in {"steps": steps, "starts": starts, "candidates": candidates}.items():
        at_least(1, "project: ", **{name: value})
    above(0, "project: ", seconds=seconds)
    shape = (network.channels, network.height, network.width)
    if isinstance(network, ExportedGenerator):
        raise ZooError("project needs gradients, which an exported program does not have.")
    if targets.dim() != 4 or tuple(targets.shape[1:]) != shape:
        raise ZooError(
            f"project takes images of (N, {', '.join(map(str, shape))}), but got "
            f"{tuple(targets.shape)}."
        )
    if not network.num_classes:
        labels = None
    elif labels is not None and len(labels) != len(targets):
        raise ZooError(f"{len(targets)} images need as many labels, but got {len(labels)}.")
    distance, words = distance_of(features, min(shape[1:]))
    device = next(network.parameters()).device
    frozen = [p for p in network.parameters() if p.requires_grad]
    network.requires_grad_(False)
    search = _Search(
        network, distance, steps, min(starts, candidates), candidates, lr, noise, seconds, watch
    )
    results: list[_Result] = []
    try:
        with forked_random():
            for i, target in enumerate(targets.to(device).split(1)):
                torch.manual_seed(seed)
                label = None if labels is None else labels[i : i + 1].to(device)
                results.append(search(target, label, seeded(seed)))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    names = results[0].noise
    result_labels = [r.label for r in results if r.label is not None]
    return Projection(
        space="w" if network.has_mapping else "z",
        latents=torch.cat([r.latent for r in results]).cpu(),
        labels=torch.cat(result_labels).cpu() if result_labels else None,
        images=torch.cat([r.frames[-1:] for r in results]).cpu(),
        targets=targets.cpu(),
        errors=torch.tensor([r.error for r in results]),
        first_errors=torch.tensor([r.first for r in results]),
        origins=torch.cat([r.origin for r in results]).cpu(),
        distance=words,
        frames=torch.stack([r.frames for r in results]).cpu(),
        noise={k: torch.cat([r.noise[k] for r in results]).cpu() for k in names},
    )


@dataclass
class _Result:
    """The result for one image, as described in `Projection`, with leading dimensions of 1."""

    latent: Tensor
    origin: Tensor
    label: Tensor | None
    frames: Tensor
    error: float
    first: float
    noise: dict[str, Tensor]


@dataclass
class _Search:
    """Optimise several latents at once with Adam, and return the best one."""

    network: Generator
    distance: Callable[[Tensor, Tensor], Tensor]
    steps: int
    starts: int
    candidates: int
    lr: float
    with_noise: bool
    seconds: float | None
    watch: Watch | None

    def __call__(self, target: Tensor, label: Tensor | None, random: torch.Generator) -> _Result:
        """Project one image (1, C, H, W) with a class (1,), or None for that of a candidate."""
        began = time.monotonic()
        network = self.network
        z = network.sample_latent(self.candidates, random)
        y = None
        if label is not None:
            y = label.expand(len(z))
        elif network.num_classes:
            y = torch.randint(network.num_classes, (len(z),), generator=random).to(z.device)
        with torch.no_grad():
            latents = self._variables(z, y)
            first_errors = self._errors(latents, y, target, began)
        best = first_errors.argsort()[: self.starts]
        maps = self._noise_maps()
        if maps:
            best = best[:1]  # a set of noise maps belongs to a single image
        labels = None if y is None else y[best]
        deviation = (latents - latents.mean(0)).square().sum(1).mean().sqrt()
        original = {name: module.noise_map for name, module in maps.items()}
        try:
            return self._descend(
                latents[best].clone(), z[best], labels, target, deviation, maps, first_errors, began
            )
        finally:
            for name, module in maps.items():
                module.noise_map = original[name]

    def _variables(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Return what is optimised: latents, or the one style (N, W) that all layers share."""
        if not self.network.has_mapping:
            return z
        w = self.network.map(z, y)
        return w[:, 0] if w.dim() == 3 else w

    def _images(self, latents: Tensor, y: Tensor | None) -> Tensor:
        """Generate images in [-1, 1] from the latents or styles that are optimised."""
        network = self.network
        if not network.has_mapping:
            return network(latents, y).clamp(-1, 1)
        layers = getattr(network, "styles", None)
        w = latents if layers is None else latents[:, None].expand(-1, layers, -1)
        return network.synthesize(w, y).clamp(-1, 1)

    def _spent(self, began: float) -> float:
        """Return the fraction of the time limit that has passed."""
        return 0.0 if self.seconds is None else (time.monotonic() - began) / self.seconds

    def _report(self, done: float, images: Tensor, errors: Tensor) -> None:
        """Pass the progress and the best image to `watch`."""
        if self.watch is not None:
            best = int(errors.argmin())
            self.watch(done, images[best : best + 1].detach())

    def _errors(self, latents: Tensor, y: Tensor | None, target: Tensor, began: float) -> Tensor:
        """Return the distances of the candidates, or of the first ones if time runs out."""
        errors: list[Tensor] = []
        for i in range(0, len(latents), _BLOCK):
            if errors and self._spent(began) > 0.25:
                break
            labels = None if y is None else y[i : i + _BLOCK]
            images = self._images(latents[i : i + _BLOCK], labels)
            errors.append(self.distance(images, target.expand_as(images)))
            self._report(0.0, images, errors[-1])
        return torch.cat(errors)

    def _noise_maps(self) -> dict[str, torch.nn.Module]:
        """Return the modules with noise maps that are optimised, by their names."""
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
        first_errors: Tensor,
        began: float,
    ) -> _Result:
        """Optimise the latents `start` and the noise maps, and return the best result."""
        x = start.requires_grad_()
        noises = {}
        for name, module in maps.items():
            drawn = torch.randn_like(module.noise_map)  # type: ignore[arg-type]
            noises[name] = module.noise_map = drawn.requires_grad_()
        optimizer = torch.optim.Adam([x, *noises.values()], lr=self.lr, betas=(0.9, 0.999))
        targets = target.expand(len(x), -1, -1, -1)
        latent = None if self.network.has_mapping else prior(self.network)
        if latent is not None and type(latent).slope is Latent.slope:
            latent = None  # its density has no gradient
        frames: list[Tensor] = []
        step, done = 0, 0.0
        while done < 1:
            optimizer.param_groups[0]["lr"] = self.lr * ramp(done)
            perturbed = x
            if self.network.has_mapping:
                strength = 0.05 * deviation * max(0.0, 1 - done / 0.75) ** 2
                perturbed = x + strength * torch.randn_like(x)
            images = self._images(perturbed, y)
            distances = self.distance(images, targets)
            loss = distances.sum() + _NOISE_WEIGHT * sum(
                map(autocorrelation, noises.values()), x.new_zeros(())
            )
            optimizer.zero_grad()
            loss.backward()
            if latent is not None:  # a small penalty on latents that are unlikely under the prior
                assert x.grad is not None
                x.grad -= _PRIOR_WEIGHT / x.shape[1] * latent.slope(x.detach())
            optimizer.step()
            if done >= len(frames) / (_FRAMES - 1):
                frames.append(images.detach())
            for value in noises.values():
                normalise(value)
            step += 1
            done = max(step / self.steps, self._spent(began))
            self._report(min(1.0, done), images, distances)
        with torch.no_grad():
            last = self._images(x, y)
            errors = self.distance(last, targets)
        frames.extend([last] * (_FRAMES - 1 - len(frames)))  # if there were fewer steps than frames
        best = int(errors.argmin())
        return _Result(
            x[best : best + 1].detach(),
            origin[best : best + 1],
            None if y is None else y[best : best + 1],
            torch.stack([frame[best] for frame in [*frames, last]]),
            float(errors[best]),
            float(first_errors.min()),
            {name: value.detach().clone() for name, value in noises.items()},
        )


def ramp(done: float) -> float:
    """Return the factor of the learning rate: rising for 5 %, falling for the last 25 %.

    Args:
        done: the progress of the search, 0 to 1.
    """
    down = min(1.0, (1 - done) / 0.25)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, done / 0.05)


def autocorrelation(noise: Tensor) -> Tensor:
    """Return a penalty on the correlation of neighbouring pixels of a noise map (1, 1, H, W).

    It is the sum of the squared mean products of the map with itself shifted by one pixel, in both
    directions, and at every halved size (with the variance preserved) down to 8 pixels.
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
    """Normalise a noise map to mean 0 and variance 1, in place."""
    noise.sub_(noise.mean()).mul_(noise.square().mean().clamp_min(1e-12).rsqrt())
