"""Load a trained generator from any file that the zoo writes, without its data or configuration.

A checkpoint describes itself: under the key `zoo` it holds the names and options of its parts, and
facts about the data, as plain containers. Networks are rebuilt through the registry, and
`torch.load` runs with `weights_only=True`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.sampler import Sampler
from zoo.core import cache
from zoo.core.errors import ZooError, ZooWarning, at_least, printable
from zoo.core.random import forked_random
from zoo.inference.dataset import dataset_of
from zoo.inference.device import choose_device
from zoo.inference.files import DTYPES, PROGRAMS, read, write_generator
from zoo.inference.latents import (
    Label,
    check_given,
    class_index,
    draw_labels,
    draw_latents,
    parse_labels,
    standing_statistics,
)
from zoo.inference.locate import locate, pretrained_names, without_discriminator
from zoo.inference.project import Projection, project
from zoo.inference.rebuild import Weights, choose_weights, latent_of, network_of
from zoo.inference.refine import Choice, Refiner, create_sampler, in_words
from zoo.inference.scores import as_trained, scores_of
from zoo.inference.truncation import check_truncation, images_of
from zoo.registry.calls import held_to_annotations

if TYPE_CHECKING:
    from zoo.data.base import DataModule


@held_to_annotations("zoo.load")
def load(
    path: str | os.PathLike[str],
    *,
    weights: Weights | None = None,
    device: str | torch.device = "cpu",
) -> LoadedGenerator:
    """Load a trained generator, ready to sample: `zoo.load("mnist").sample(64, label=5)`.

    Loading a file runs no code from it, except for `.pt2` files: PyTorch has no safe reader for
    them, and a warning says so.

    Args:
        path: a checkpoint (`.ckpt`), a run's folder (whose last checkpoint is loaded), an exported
            file (`.safetensors`, `.onnx`, `.pt2`), a model that comes with the zoo (`mnist`), or a
            model on the Hugging Face hub (`hf:owner/name`).
        weights: `ema` for the EMA weights, `raw` for those that the optimizer updates; None uses
            the EMA weights if the file has them.
        device: the device on which it samples: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`.

    Raises:
        ZooError: the file is missing, damaged or not from the zoo, one of its parts is not
            installed, or it does not hold the requested weights.
    """
    target = choose_device(device)
    file = locate(path)
    if file.suffix in PROGRAMS:
        from zoo.inference.exported import open_exported

        info, generator = open_exported(file)
        chosen = choose_weights(info, weights, file)
        generator.latent = latent_of(info, file)
        return LoadedGenerator(generator.to(target).eval(), info, chosen, file)
    info, state = read(file)
    chosen = choose_weights(info, weights, file)
    prefix = "ema_generator." if chosen == "ema" and "weights" not in info else "generator."
    generator = network_of("generator", info, state, prefix, file)
    loaded = LoadedGenerator(generator.to(target).eval(), info, chosen, file)
    dtypes = {v.dtype for k, v in state.items() if k.startswith(prefix)}
    loaded.precision = next((n for n in ("bf16", "fp16") if DTYPES[n] in dtypes), "fp32")
    loaded._state = {k: v for k, v in state.items() if k.startswith("discriminator.")}
    return loaded


class LoadedGenerator:
    """A trained generator with everything that its file says about it.

    Attributes:
        generator: the network, in eval mode.
        info: the file's description (format, parts, data, progress) as plain containers.
        weights: `ema` or `raw`.
        batch_norm: `running`, or `standing (...)` if `use_standing_statistics` was called, now or
            before the file was exported.
        precision: the data type of the weights in the file: `fp32`, `fp16` or `bf16`.
        file: the file from which it was loaded.
    """

    def __init__(
        self, generator: Generator, info: dict[str, Any], weights: Weights, file: Path
    ) -> None:
        self.generator = generator
        self.info = info
        self.weights = weights
        self.file = file
        self.batch_norm: str = info.get("batch_norm", "running")
        self.precision = "fp32"
        self._state: dict[str, Tensor] = {}

    @property
    def data(self) -> dict[str, Any]:
        """The data: `name`, `image_size`, `channels`, `num_classes`, `class_names`."""
        return self.info["data"]

    @property
    def images_seen(self) -> int:
        """The number of real images seen in training."""
        return int(self.info.get("images_seen", 0))

    @property
    def num_classes(self) -> int:
        """The number of the generator's classes; 0 for an unconditional one."""
        return self.generator.num_classes

    @property
    def class_names(self) -> list[str]:
        """The names of the generator's classes; empty for an unconditional one."""
        names = [printable(str(c)) for c in self.data.get("class_names") or range(self.num_classes)]
        return names[: self.num_classes]

    @property
    def device(self) -> torch.device:
        """The device of the generator."""
        return next(self.generator.parameters()).device

    def __repr__(self) -> str:
        shape = f"{self.generator.channels}×{self.generator.height}×{self.generator.width}"
        return (
            f"LoadedGenerator({self.info['generator']['name']}, {shape}, "
            f"{self.num_classes or 'no'} classes, {self.images_seen:,} images seen, "
            f"{self.weights} weights)"
        )

    def __call__(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the network's output for latents (N, latent_dim) and labels (N,).

        It stays on the model's device, with gradients if these are enabled, so that `model(z, y)`
        can be part of a larger computation. `generate` and `sample` return images to look at.
        """
        images: Tensor = self.generator(z.to(self.device), None if y is None else y.to(self.device))
        return images

    @held_to_annotations("model.to")
    def to(self, device: str | torch.device) -> LoadedGenerator:
        """Move the model to `cpu`, `cuda`, `cuda:1`, `mps` or `auto`, and return it."""
        self.generator.to(choose_device(device))
        return self

    @held_to_annotations("model.save")
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the generator to a file that `load` reads: `model.save("fives.safetensors")`.

        To write and check `.onnx` and `.pt2` files, use `zoo.inference.export`.

        Raises:
            ZooError: the file has another suffix or cannot be written, or the model has no weights
                because it is an exported program.
        """
        file = Path(path).expanduser()
        if file.suffix != ".safetensors":
            raise ZooError(
                f"{file} must end in .safetensors; task=export writes format=onnx and format=pt2"
            )
        if self.file.suffix in PROGRAMS:
            raise ZooError(f"{self.file} is an exported program, which has no weights to save.")
        info = {**self.info, "weights": self.weights, "batch_norm": self.batch_norm}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_generator(file, info, self.generator.state_dict(), self.precision)
        except OSError as error:
            raise ZooError(f"cannot write {file}: {error.strerror or error}.") from error
        return file

    @held_to_annotations("model.sample")
    def sample(
        self,
        n: int = 64,
        label: Label = None,
        seed: int = 0,
        truncation: float | None = None,
        batch_size: int = 64,
        refine: Choice | Sampler | None = None,
    ) -> Tensor:
        """Sample images; the same seed gives the same images, whatever the batch size.

        Args:
            n: the number of images, or of images per class if `label` names classes.
            label: a class, a list of classes, or `"all"`. A string or number is the name of a class
                if there is one, and else an index, unless the classes have numbers as names. None
                draws classes at random, and is the only choice for an unconditional model.
            seed: the seed of the latents and of random classes, 0 to 2^63 - 1.
            truncation: the threshold for normal latents in standard deviations, or the factor from
                0 to 1 by which a generator with styles moves them to their mean; None for none.
            batch_size: the number of images generated at a time, 1 or more.
            refine: a sampler that uses the discriminator to choose latents: `"drs"`, `"mh"`,
                `"ddls"`, or `{"name": "mh", "steps": 100}`; needs a training checkpoint.

        Returns:
            float32 images (N, C, H, W) in [-1, 1] on the CPU; N is `n`, or `n` per named class.

        Raises:
            ZooError: `n` or `batch_size` is below 1, the model does not have a label, the seed is
                out of range, or the truncation is out of range or not defined for the prior.
        """
        check_truncation(self.generator, truncation)
        z, y = self.draw(n, label, seed)
        if refine is not None:
            refiner = self.refiner(refine, seed, batch_size, truncation)
            if refiner.note:
                warnings.warn(refiner.note, ZooWarning, stacklevel=2)
            z = refiner(z, y)
        return self.generate(z, y, batch_size, truncation)

    @held_to_annotations("model.draw")
    def draw(self, n: int, label: Label = None, seed: int = 0) -> tuple[Tensor, Tensor | None]:
        """Return the latents (N, latent_dim) and labels (N,) that `sample` uses."""
        y = draw_labels(label, n, self.num_classes, self.class_names, seed)
        count = n if y is None else len(y)
        return draw_latents(self.generator, count, seed).cpu(), y

    @held_to_annotations("model.refiner")
    def refiner(
        self,
        choice: Choice | Sampler,
        seed: int = 0,
        batch_size: int = 64,
        truncation: float | None = None,
    ) -> Refiner:
        """Return a callable that refines latents: `z = model.refiner("drs")(*model.draw(64))`.

        Raises:
            ZooError: there is no such sampler, no discriminator, or a truncation is given too.
        """
        if truncation is not None:
            raise ZooError(
                f"truncation={truncation} changes the distribution of the images, and refine=… "
                "corrects it: give one of them."
            )
        sampler = create_sampler(choice)  # first, so that a wrong name is reported first
        return Refiner(
            sampler,
            self.generator,
            self.discriminator(f"refine={in_words(sampler).partition(' ')[0]}"),
            self.info.get("loss"),
            lambda: self.dataset(cache.data_dir()),
            seed,
            batch_size,
            self.info.get("regularizers"),
        )

    @held_to_annotations("model.generate")
    def generate(
        self,
        z: Tensor,
        y: Tensor | None = None,
        batch_size: int = 64,
        truncation: float | None = None,
    ) -> Tensor:
        """Return images (N, C, H, W), float32 in [-1, 1] on the CPU, for latents and labels."""
        return torch.cat(list(self.batches(z, y, batch_size, truncation)))

    @held_to_annotations("model.batches")
    def batches(
        self,
        z: Tensor,
        y: Tensor | None = None,
        batch_size: int = 64,
        truncation: float | None = None,
    ) -> Iterator[Tensor]:
        """Yield the images of `generate` in batches, so that any number fits in memory.

        Raises:
            ZooError: an argument does not suit the generator, or pixels are NaN or infinite.
        """
        check_truncation(self.generator, truncation)
        check_given(self.generator, z, y)
        at_least(1, batch_size=batch_size)
        for i in range(0, len(z), batch_size):
            labels = None if y is None else y[i : i + batch_size].to(self.device)
            with torch.inference_mode(), forked_random():
                torch.manual_seed(i)  # for networks that draw noise
                latents = z[i : i + batch_size].to(self.device)
                images = images_of(self.generator, latents, labels, truncation)
            if not images.isfinite().all():
                raise ZooError(
                    f"{self.file}: the generator returns NaN or infinite pixels, because its "
                    "training diverged: use an earlier checkpoint."
                )
            yield images.float().clamp(-1, 1).cpu()

    @held_to_annotations("model.project")
    def project(self, images: Tensor, labels: Label = None, **options: Any) -> Projection:
        """Find the latents of images (N, C, H, W) in [-1, 1]: `model.project(images, label)`.

        Args:
            images: the images to reproduce.
            labels: a class for all images, or a list with one for each; None uses the class of the
                nearest candidate with which the search begins.
            options: `steps`, `starts`, `candidates`, `lr`, `features`, `noise`, `seed`, as for
                `task=project`.

        Raises:
            ZooError: the images or labels do not suit the model, or it is an exported program.
        """
        y = None
        if labels is not None:
            indices = parse_labels(labels, self.num_classes, self.class_names)
            y = torch.tensor(indices * len(images) if len(indices) == 1 else indices)
        return project(self.generator, images, y, **options)

    @held_to_annotations("model.class_index")
    def class_index(self, label: int | str) -> int:
        """Return the index of a class given by its name or index (see `latents.class_index`)."""
        return class_index(label, self.num_classes, self.class_names)

    @held_to_annotations("model.use_standing_statistics")
    def use_standing_statistics(self, forwards: int = 16, batch: int = 64, seed: int = 0) -> None:
        """Recompute the batch-norm statistics (see `latents.standing_statistics`)."""
        if standing_statistics(self.generator, forwards, batch, seed):
            self.batch_norm = f"standing ({forwards} passes of up to {batch} images, seed {seed})"

    def discriminator(self, use: str = "this") -> Discriminator:
        """Return the discriminator from the same training, in eval mode on the same device.

        Args:
            use: what the error message says needs it.

        Raises:
            ZooError: the file has no discriminator, or its part is not installed.
        """
        if not self._state:
            raise ZooError(without_discriminator(self.file, use))
        state, prefix = self._state, "discriminator."
        network = network_of("discriminator", self.info, state, prefix, self.file)
        return network.to(self.device).eval()

    @held_to_annotations("model.dataset")
    def dataset(self, data_dir: str = "data", name: str | None = None) -> DataModule:
        """Open a data set at the generator's image size.

        Args:
            data_dir: the folder of data sets.
            name: the name of a data set, or anything that `datamodule.folder` accepts: a folder of
                images, a .zip, .npz or .tar file, `hf:OWNER/NAME`. None opens the data set that the
                model was trained on, with the same options.

        Raises:
            ZooError: no data set of this name is registered here, or its files are missing.
        """
        return dataset_of(self.data, self.generator, self.file, data_dir, name)

    @held_to_annotations("model.scores")
    def scores(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        batch_size: int = 64,
        batch_statistics: bool = False,
    ) -> Tensor:
        """Return the discriminator's scores of images (N, C, H, W) in [-1, 1].

        The scores are those that the loss was computed from: logits, or for methods such as
        gradient normalisation, values derived from them.

        Args:
            images: the images.
            labels: int64 (N,), needed by a conditional discriminator.
            batch_size: the number of images, or of packs, scored at a time.
            batch_statistics: whether batch norms use the mean and variance of each batch, as in
                training. A discriminator with batch norms gives the scores that it was trained to
                give only with this, and with real and generated images in separate calls.

        Returns:
            Scores on the CPU: (N,), or (N, K) of a discriminator that scores patches, or one per
            complete pack of a discriminator that sees packs of images.
        """
        network = self.discriminator("a score")
        packs = network.channels // self.generator.channels
        outputs = as_trained(network, self.info.get("regularizers"), self.info.get("loss"))
        return scores_of(network, outputs, images, labels, packs, batch_size, batch_statistics)


__all__ = ["LoadedGenerator", "choose_device", "load", "locate", "pretrained_names", "read"]
