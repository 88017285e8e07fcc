"""Diagnostics of a running training: trouble is reported with advice on what to try."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from zoo.core.atomic import write_json
from zoo.core.random import forked_random
from zoo.data.pixels import to_float, to_uint8
from zoo.metrics.evaluate import features_of
from zoo.metrics.features.base import Features, create_features, extract
from zoo.metrics.scores.base import MAX_CLASSES
from zoo.registry import REGISTRY, at_least, callback
from zoo.training import symptoms
from zoo.training.batches import pair
from zoo.training.callbacks.base import Callback, held_to
from zoo.training.passes import packs_of
from zoo.training.terms import named

PROBE = 64
"""The number of real and of generated images in a probe."""
READ = 500
"""The number of generated images that are classified at a time."""
READ_OF_MANY = 2000
"""The number classified if there are more than `MAX_CLASSES` modes, as in Stacked-MNIST."""
MATURE = 10
"""Every class is expected after this many times `after_images`; before, only those seen once."""


@callback("diagnostics")
class Diagnose(Callback):
    """Looks for a saturated D, a collapsing or diverging G, idle penalties and lost modes.

    Each kind of trouble is reported at most once per epoch: it is printed, and written to
    `diagnostics.json` in the run's folder. The checks do not change weights, buffers or the state
    of random number generators.

    Args:
        folder: The run's folder.
        every_n_steps: Check after every n-th step, and at the end of each epoch.
        after_images: The number of real images seen before the first check, since every GAN starts
            badly.

    Attributes:
        found: All findings so far.
    """

    def __init__(
        self,
        folder: str,
        every_n_steps: Annotated[int, at_least(1)] = 500,
        after_images: Annotated[int, at_least(0)] = 20_000,
    ) -> None:
        self.path = Path(folder) / "diagnostics.json"
        self.every_n_steps = every_n_steps
        self.after_images = after_images
        self.found = symptoms.Diagnostics()
        self._norms: dict[str, deque[float]] = {"G": deque(maxlen=50), "D": deque(maxlen=50)}
        self._reader: Features | None = None
        self._modes_seen: Tensor | None = None
        self._most_modes = 0
        self._last: Any = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "findings": [vars(f) for f in self.found.findings],
            "modes_seen": self._modes_seen,
            "most_modes": self._most_modes,
            "norms": {name: list(norms) for name, norms in self._norms.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        findings = [symptoms.Finding(**f) for f in state_dict["findings"]]
        for finding in findings:
            held_to(int, finding.epoch)
            held_to(str, finding.kind)
            held_to(str, finding.sentence)
        self.found.findings = findings
        seen = state_dict["modes_seen"]
        self._modes_seen = None if seen is None else held_to(Tensor, seen)
        self._most_modes = held_to(int, state_dict["most_modes"])
        for name, norms in self._norms.items():  # not in older checkpoints
            norms.extend(held_to(float, n) for n in state_dict.get("norms", {}).get(name, ()))

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        data = str(pl_module.data.get("name"))
        name = features_of(data)
        if not trainer.is_global_zero or name is None:
            return
        if data in REGISTRY.get("features", name).load().labels_of:
            with forked_random():
                self._reader = create_features(name).to(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._last = batch
        if (batch_idx + 1) % self.every_n_steps == 0:
            self._probe(trainer, pl_module, batch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._last is not None:
            self._probe(trainer, pl_module, self._last)
            self._report(trainer, "modes", self._modes(pl_module))
        self._last = None

    def _probe(self, trainer: pl.Trainer, pl_module: Any, batch: Any) -> None:
        # On all processes, since batch norm may be synchronized; only the first one reports.
        if pl_module.images_seen < self.after_images:
            return
        images, labels = pair(batch)
        probe = PROBE - PROBE % packs_of(pl_module.regularizers)
        real = images[:probe] if images.is_floating_point() else to_float(images[:probe])
        y = None if labels is None else labels[:probe]
        y_g = y if pl_module.generator.num_classes else None
        y_d = y if pl_module.discriminator.num_classes else None
        with _untouched(pl_module.generator), _untouched(pl_module.discriminator):
            fake = pl_module.generator(pl_module.generator.sample_latent(len(real)), y_g)
            real_scores, fake_scores = (
                pl_module.discriminate(x.to(fake.dtype), y_d).scores for x in (real, fake)
            )
        report = self._report
        regularizers = named(list(pl_module.regularizers))
        strengths = {}
        for name, regularizer in regularizers.items():
            option = regularizer.flattens
            if option is not None and (strength := float(getattr(regularizer, option))) > 0:
                strengths[f"{name}.{option}"] = strength
        batch_size = getattr(trainer.datamodule, "batch_size", len(images))  # type: ignore[attr-defined]
        start = symptoms.start_gamma(real.shape[-2:], batch_size)
        head = getattr(pl_module.discriminator, "head", None)
        if not getattr(head, "replaces_loss", False):  # otherwise, the loss is not used
            with forked_random():  # some losses draw random numbers
                saturated = symptoms.discriminator_saturated(
                    pl_module.loss, real_scores, fake_scores, strengths, start
                )
            report(trainer, "D", saturated)
        blinding = strengths if symptoms.blind(real_scores, fake_scores) else None
        collapsed = symptoms.generator_collapsed(fake, real, y_g, blinding, start)
        report(trainer, "G", collapsed)
        ran_away = symptoms.images_ran_away(fake, real, strengths, start)
        report(trainer, "images", ran_away)
        for name, network in (("G", pl_module.generator), ("D", pl_module.discriminator)):
            norm = symptoms.gradient_norm(list(network.parameters()))
            usual = statistics.median(self._norms[name]) if len(self._norms[name]) >= 5 else 0.0
            report(trainer, f"gradients {name}", symptoms.gradients_exploded(name, norm, usual))
            self._norms[name].append(norm)
        for name, regularizer in regularizers.items():
            if name in pl_module.shown:
                report(trainer, name, regularizer.diagnose(pl_module.shown[name]))

    def _modes(self, pl_module: Any) -> str | None:
        """Check whether generated images lack classes that they should have, or had before."""
        if self._reader is None or pl_module.images_seen < self.after_images:
            return None
        counts = self._count(pl_module.generator, self._reader)
        mature = pl_module.images_seen >= MATURE * self.after_images
        if len(counts) > MAX_CLASSES:
            most = self._most_modes
            self._most_modes = max(most, int((counts > 0).sum()))
            return symptoms.modes_scarce(counts, None if mature else most)
        present = symptoms.modes_present(counts)
        before = self._modes_seen
        if before is None or (before.shape, before.dtype) != (present.shape, present.dtype):
            before = torch.zeros_like(present)
        self._modes_seen = before | present
        names = pl_module.data.get("class_names") or ()
        return symptoms.modes_lost(counts, names, None if mature else before)

    def _count(self, generator: Any, reader: Features) -> Tensor:
        """Count the generated images classified as each mode, (K,), with labels drawn evenly."""
        modes = reader.classes_of(generator.channels)
        counts = torch.zeros(modes, dtype=torch.int64)
        with _untouched(generator):
            generator.eval()
            y = None
            if generator.num_classes:
                y = torch.arange(READ, device=next(reader.parameters()).device)
                y = y % generator.num_classes
            for _ in range(1 if modes <= MAX_CLASSES else READ_OF_MANY // READ):
                fake = generator(generator.sample_latent(READ), y)
                _, logits = extract(reader, to_uint8(fake))
                assert logits is not None
                counts += torch.bincount(logits.argmax(dim=1), minlength=modes)
        return counts

    def _report(self, trainer: pl.Trainer, kind: str, sentence: str | None) -> None:
        if not trainer.is_global_zero:
            return
        finding = self.found.note(trainer.current_epoch, kind, sentence)
        if finding is None:
            return
        bar = trainer.progress_bar_callback
        text = f"epoch {finding.epoch}: {finding.sentence}"
        if isinstance(bar, pl.callbacks.TQDMProgressBar) and bar.is_enabled:
            bar.print(text)
        else:
            print(text, flush=True)
        write_json(self.path, self.state_dict()["findings"])


@contextmanager
def _untouched(network: nn.Module) -> Iterator[None]:
    """Return a context without gradients in which the network is in training mode.

    Its buffers, its mode and the state of the random number generators are restored afterwards.
    """
    was_training = network.training
    saved = [(buffer, buffer.clone()) for buffer in network.buffers()]
    network.train()
    try:
        with torch.no_grad(), forked_random():
            yield
    finally:
        network.train(was_training)
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)
