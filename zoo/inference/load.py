"""Loading a trained generator from any file the zoo writes, by the file alone.

A checkpoint describes itself: under the key `zoo` it holds the names and options of its parts and
what is to be known of the data, as plain containers. Networks are rebuilt through the registry;
neither the data set nor a configuration file is needed, and `torch.load` runs with
`weights_only=True`.
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
from zoo.inference.files import DTYPES, read, write_generator
from zoo.inference.latents import (
    Label,
    check_given,
    class_index,
    draw_labels,
    draw_latents,
    parse_labels,
    standing_statistics,
)
from zoo.inference.locate import locate, pretrained_names, public_name
from zoo.inference.project import Projection, project
from zoo.inference.rebuild import Weights, choose_weights, latent_of, network_of
from zoo.inference.refine import Choice, Refiner, create_sampler
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

    A file runs no code of its own here, but for `.pt2`: PyTorch has no safe reader of these, and a
    warning says so.

    Args:
        path: a checkpoint (`.ckpt`), a run's folder (its last checkpoint is taken), an exported
            file (`.safetensors`, `.onnx`, `.pt2`), a model of the embedded zoo (`mnist`), or a
            model of the Hugging Face hub (`hf:owner/name`).
        weights: `ema` for the averaged weights, `raw` for those the optimizer sees; None takes the
            averaged ones where the file has them.
        device: where it samples: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto`.

    Raises:
        ZooError: the file is missing, damaged or no file of the zoo, one of its parts is not
            installed, or it does not hold the weights asked for.
    """
    target = choose_device(device)
    file = locate(path)
    if file.suffix in (".onnx", ".pt2"):
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
    held = {v.dtype for k, v in state.items() if k.startswith(prefix)}
    loaded.precision = next((n for n in ("bf16", "fp16") if DTYPES[n] in held), "fp32")
    loaded._state = {k: v for k, v in state.items() if k.startswith("discriminator.")}
    return loaded


class LoadedGenerator:
    """A trained generator with all that its file says about it.

    Attributes:
        generator: the network, in eval mode.
        info: the file's description (format, parts, data, progress), plain containers.
        data: its part on the data: `name`, `image_size`, `channels`, `num_classes`, `class_names`.
        images_seen: real images seen in training.
        weights: `ema` or `raw`.
        batch_norm: `running`, or `standing (...)` after `use_standing_statistics`, also where
            that was before the file was exported.
        precision: in which the file holds the weights: `fp32`, `fp16` or `bf16`.
        file: the file it came from.
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
        return self.info["data"]

    @property
    def images_seen(self) -> int:
        return int(self.info.get("images_seen", 0))

    @property
    def num_classes(self) -> int:
        """Classes the generator takes; 0 for an unconditional one."""
        return self.generator.num_classes

    @property
    def class_names(self) -> list[str]:
        """Names of the classes the generator takes; empty for an unconditional one."""
        names = [printable(str(c)) for c in self.data.get("class_names") or range(self.num_classes)]
        return names[: self.num_classes]

    @property
    def device(self) -> torch.device:
        return next(self.generator.parameters()).device

    def __repr__(self) -> str:
        shape = f"{self.generator.channels}×{self.generator.height}×{self.generator.width}"
        return (
            f"LoadedGenerator({self.info['generator']['name']}, {shape}, "
            f"{self.num_classes or 'no'} classes, {self.images_seen:,} images seen, "
            f"{self.weights} weights)"
        )

    def __call__(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images of latents (N, latent_dim) and labels (N,), as the network gives them.

        On its device and with gradients, where they are in force: `model(z, y)` is a part of any
        computation, `generate` and `sample` make pictures.
        """
        images: Tensor = self.generator(z.to(self.device), None if y is None else y.to(self.device))
        return images

    @held_to_annotations("model.to")
    def to(self, device: str | torch.device) -> LoadedGenerator:
        """Move it to `cpu`, `cuda`, `cuda:1`, `mps` or `auto`: `model.to("cuda").sample(64)`."""
        self.generator.to(choose_device(device))
        return self

    @held_to_annotations("model.save")
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the generator as a file that `load` reads: `model.save("fives.safetensors")`.

        `.onnx` and `.pt2` files are written, and checked, by `zoo.inference.export`.

        Raises:
            ZooError: another ending, an exported file without the network, or an unwritable path.
        """
        file = Path(path).expanduser()
        if file.suffix != ".safetensors":
            raise ZooError(
                f"{file} must end in .safetensors; task=export writes format=onnx and format=pt2"
            )
        if self.file.suffix in (".onnx", ".pt2"):
            raise ZooError(f"{self.file} is an exported file, without weights to save.")
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
        """Draw images: the same seed gives the same images, whatever the batch size.

        Args:
            n: images, or images per class where `label` names classes.
            label: a class, a list of classes, or `"all"`; names first, whether text or number, and
                indices where no name is a number. None draws classes at random, and is the only
                choice for an unconditional model.
            seed: of the latents and of classes drawn at random, 0 to 2^63 - 1.
            truncation: threshold on normal latents in standard deviations, or the factor from 0
                to 1 by which a generator with styles moves these to their mean; None for none.
            batch_size: images generated at a time, 1 or more.
            refine: a sampler that chooses latents by the discriminator's word: `"drs"`, `"mh"`,
                `"ddls"`, or `{"name": "mh", "steps": 100}`; needs a training checkpoint.

        Returns:
            float32 images in [-1, 1] on the CPU, (n × classes named or 1, C, H, W), class by class.

        Raises:
            ZooError: `n` or `batch_size` below 1, a label the model does not have, a seed out of
                range, a truncation out of range or of a prior that has none.
        """
        check_truncation(self.generator, truncation)
        z, y = self.draw(n, label, seed)
        if refine is not None:
            refined = self.refiner(refine, seed, batch_size, truncation)
            if refined.note:
                warnings.warn(refined.note, ZooWarning, stacklevel=2)
            z = refined(z, y)
        return self.generate(z, y, batch_size, truncation)

    @held_to_annotations("model.draw")
    def draw(self, n: int, label: Label = None, seed: int = 0) -> tuple[Tensor, Tensor | None]:
        """The latents (N, latent_dim) and labels (N,) of `sample`; arguments as there."""
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
        """A sampler at work on this model: `z = model.refiner("drs")(*model.draw(64))`.

        Raises:
            ZooError: no such sampler, a file without a discriminator, or a truncation beside it.
        """
        if truncation is not None:
            raise ZooError(
                f"truncation={truncation} changes what the generator draws, and a refinement "
                "corrects what it draws: give one of them."
            )
        chosen = create_sampler(choice)  # its name is looked at before the file is
        return Refiner(
            chosen,
            self.generator,
            self.discriminator(),
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
        """Images (N, C, H, W), float32 in [-1, 1] on the CPU, of latents and labels."""
        return torch.cat(list(self.batches(z, y, batch_size, truncation)))

    @held_to_annotations("model.batches")
    def batches(
        self,
        z: Tensor,
        y: Tensor | None = None,
        batch_size: int = 64,
        truncation: float | None = None,
    ) -> Iterator[Tensor]:
        """Images as in `generate`, batch by batch, so that any number fits in memory.

        Raises:
            ZooError: a truncation that is refused, or pixels that are NaN or infinite.
        """
        check_truncation(self.generator, truncation)
        check_given(self.generator, z, y)
        at_least(1, batch_size=batch_size)
        for i in range(0, len(z), batch_size):
            labels = None if y is None else y[i : i + batch_size].to(self.device)
            with torch.inference_mode(), forked_random():
                torch.manual_seed(i)  # networks with noise inside
                given = z[i : i + batch_size].to(self.device)
                images = images_of(self.generator, given, labels, truncation)
            if not images.isfinite().all():
                raise ZooError(
                    f"{self.file}: the generator gives NaN or infinite pixels, for its training "
                    "diverged: take an earlier checkpoint."
                )
            yield images.float().clamp(-1, 1).cpu()

    @held_to_annotations("model.project")
    def project(self, images: Tensor, labels: Label = None, **options: Any) -> Projection:
        """Find the latents of images (N, C, H, W) in [-1, 1]: `model.project(images, label)`.

        Args:
            labels: a class for all, or a list of one for each; None takes that of the nearest of
                the latents that the search begins with.
            options: `steps`, `starts`, `candidates`, `lr`, `features`, `noise`, `seed`, as of
                `task=project`.

        Raises:
            ZooError: images of another shape, a label that the model does not have, or an exported
                program.
        """
        chosen = None
        if labels is not None:
            found = parse_labels(labels, self.num_classes, self.class_names)
            chosen = torch.tensor(found * len(images) if len(found) == 1 else found)
        return project(self.generator, images, chosen, **options)

    @held_to_annotations("model.class_index")
    def class_index(self, label: int | str) -> int:
        """The index of a class given by name or index (see `zoo.inference.latents.class_index`)."""
        return class_index(label, self.num_classes, self.class_names)

    @held_to_annotations("model.use_standing_statistics")
    def use_standing_statistics(self, forwards: int = 16, batch: int = 64, seed: int = 0) -> None:
        """Recompute the batch-norm statistics (see `zoo.inference.latents.standing_statistics`)."""
        if standing_statistics(self.generator, forwards, batch, seed):
            self.batch_norm = f"standing ({forwards} passes of up to {batch} images, seed {seed})"

    def discriminator(self) -> Discriminator:
        """The discriminator it was trained against, in eval mode on the same device.

        Raises:
            ZooError: the file holds none, as exported files do, or its part is not installed.
        """
        if not self._state:
            raise ZooError(
                f"{public_name(self.file)} holds the generator alone, as published and exported "
                "files do; a discriminator is in the .ckpt of a training, or its run's folder."
            )
        state, prefix = self._state, "discriminator."
        network = network_of("discriminator", self.info, state, prefix, self.file)
        return network.to(self.device).eval()

    @held_to_annotations("model.dataset")
    def dataset(self, data_dir: str = "data", name: str | None = None) -> DataModule:
        """A data set below `data_dir`, at the generator's image size.

        Args:
            name: of the data set, or what `datamodule.folder` takes: a folder of pictures, a .zip,
                .npz or .tar file, `hf:OWNER/NAME`. None takes the one it was trained on, built as
                it was then.

        Raises:
            ZooError: no data set of this name is registered here, or it is missing.
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
        """What the discriminator gives images (N, C, H, W) in [-1, 1]: scores (N,) on the CPU.

        (N, K) of one that scores patches; one that sees packs of images scores each whole pack.
        They are what its loss was told: logits, or what a method as gradient normalisation made
        of them.

        Args:
            labels: int64 (N,), needed by a conditional discriminator.
            batch_statistics: let batch norms take the mean and variance of each batch, as in
                training, where reals and fakes come in batches of their own. Only so are the
                scores of a network with batch norms those that it was trained to give.
        """
        network = self.discriminator()
        packs = network.channels // self.generator.channels
        outputs = as_trained(network, self.info.get("regularizers"), self.info.get("loss"))
        return scores_of(network, outputs, images, labels, packs, batch_size, batch_statistics)


__all__ = ["LoadedGenerator", "choose_device", "load", "locate", "pretrained_names", "read"]
