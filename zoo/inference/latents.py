"""Latents, labels and batch-norm statistics for sampling: everything between a seed and a forward.

Shapes: latents (N, latent_dim) float32, labels (N,) int64. All randomness comes from seeds, drawn
on the CPU, so that a seed gives the same latents on every device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, listing, suggest
from zoo.core.random import seeded
from zoo.core.torch_internals import BatchNorm
from zoo.inference.exported import ExportedGenerator

Label = int | str | Sequence[int | str] | None


def draw_latents(generator: Generator, n: int, seed: int = 0) -> Tensor:
    """Draw `n` latents (n, latent_dim) from the generator's prior.

    Raises:
        ZooError: `n` is below 1, or `seed` is no 64-bit integer.
    """
    if n < 1:
        raise ZooError(f"n={n} must be 1 or more images.")
    return generator.sample_latent(n, seeded(seed))


def check_given(generator: Generator, z: Tensor, y: Tensor | None) -> None:
    """Refuse latents and labels that the generator cannot take.

    Args:
        z: (N, latent_dim).
        y: classes (N,), or weights of all classes (N, K).

    Raises:
        ZooError: they are of another shape or kind, or a class is none of its own.
    """
    right = f"latents are floats (N, {generator.latent_dim})"
    if not z.is_floating_point() or z.dim() != 2 or z.shape[1] != generator.latent_dim:
        raise ZooError(f"latents of {z.dtype} {tuple(z.shape)} were given: {right}.")
    if not len(z):
        raise ZooError(f"no latent was given: {right}, of which there is one or more.")
    if y is None or not generator.num_classes:
        return
    right = f"labels are whole numbers (N,) from 0 to {generator.num_classes - 1}"
    if len(y) != len(z) or (y.dim() == 1 and y.is_floating_point()):
        raise ZooError(
            f"labels of {y.dtype} {tuple(y.shape)} were given to {len(z)} latents: {right}."
        )
    if y.dim() == 1 and not bool(((y >= 0) & (y < generator.num_classes)).all()):
        raise ZooError(f"labels of {int(y.min())} to {int(y.max())} were given: {right}.")


def draw_seeds(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """Draw one latent per seed, (len(seeds), latent_dim): image i depends on seed i alone."""
    if not seeds:
        raise ZooError("seeds names no seed: give for instance 0-15 or 3,7,12.")
    return torch.cat([draw_latents(generator, 1, seed) for seed in seeds])


def parse_integers(text: str, what: str) -> list[int]:
    """Read `7`, `0-15` or `3,7 12` (brackets allowed) as a list of integers."""
    numbers: list[int] = []
    for item in re.split(r"[,\s]+", str(text).strip("[]() ")):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
        if span is None:
            raise ZooError(f"{what}={text!r} is no list of integers: write 7, 0-15 or 3,7,12.")
        first, last = int(span[1]), int(span[2] or span[1])
        if not first <= last < first + 1_000_000:
            raise ZooError(f"{what}={text!r}: the range {item} must go up, by less than a million.")
        numbers.extend(range(first, last + 1))
    return numbers


def class_index(name: int | str, num_classes: int, class_names: Sequence[str] = ()) -> int:
    """The index of one class, by one rule for texts and numbers: names first.

    Args:
        name: a class's name, else a name in other letter case, or of the same value as a number
            (5 is the class 005), where it fits one class; else an index, but only where no name is
            a number.

    Raises:
        ZooError: there is no such class, or a name fits several.
    """
    names = [str(c) for c in class_names]
    text = str(name).strip()
    if not isinstance(name, bool):
        if text in names:
            return names.index(text)
        alike = [i for i, known in enumerate(names) if _is_same(known, text)]
        if len(alike) > 1:
            fitting = listing(names[i] for i in alike)
            raise ZooError(f"label={name} fits several classes ({fitting}): write one as it is.")
        if alike:
            return alike[0]
    if any(map(_is_number, names)) and names != [str(i) for i in range(num_classes)]:
        hint = "" if _is_number(text) else suggest(text, names)
        raise ZooError(
            f"label={name} is no class of this model: its classes are called {listing(names)}, and "
            f"where names are numbers a number is a name.{hint}"
        )
    hint = ""
    try:
        index = int(text)
    except ValueError:
        index, hint = -1, suggest(text, names)
    if isinstance(name, bool) or not 0 <= index < num_classes:
        numbers = list(map(str, range(num_classes)))
        known = f" ({listing(names)})" if names and list(names) != numbers else ""
        raise ZooError(
            f"label={name} is no class of this model: its labels are 0 to {num_classes - 1}"
            f"{known}.{hint}"
        )
    return index


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _is_same(name: str, text: str) -> bool:
    """Whether a text means a class's name, in other letter case or with other leading zeros."""
    if _is_number(name) and _is_number(text):
        return int(name) == int(text)
    return name.casefold() == text.casefold()


def parse_labels(label: Label, num_classes: int, class_names: Sequence[str] = ()) -> list[int]:
    """Read a choice of classes: a name, an index, `"all"`, a list, or text such as `0-3` or `0,4`.

    Each is read as by `class_index`. Where names are numbers, a range goes from one to another and
    takes the classes whose names lie between them; otherwise its ends are indices.

    Raises:
        ZooError: the model has no classes, or a label is none of them.
    """
    if num_classes < 1:
        raise ZooError(
            f"label={label} asks for a class, but this model is unconditional: leave label out."
        )
    if isinstance(label, str):
        text = label.strip()
        if text.casefold() == "all":
            return list(range(num_classes))
        if text.casefold() in [str(c).casefold() for c in class_names]:
            return [class_index(text, num_classes, class_names)]
        items: list[int | str] = []
        for item in re.split(r"[,+]\s*|\s+", text.strip("[]()")):
            span = re.fullmatch(r"(\d+)-(\d+)", item)
            items += _span(label, span, num_classes, class_names) if span else [item]
        return [class_index(item, num_classes, class_names) for item in items]
    if isinstance(label, Sequence):
        if not label:
            raise ZooError("label=[] names no class: give one class, a list, or all.")
        return [class_index(item, num_classes, class_names) for item in label]
    if isinstance(label, int):
        return [class_index(label, num_classes, class_names)]
    raise ZooError(f"label={label!r} must be a class, a list of classes, or all.")


def _span(
    label: str, span: re.Match[str], num_classes: int, class_names: Sequence[str]
) -> Sequence[int | str]:
    """The labels of a range such as `0-3`, whose ends are names where both are, else indices."""
    first, last = int(span[1]), int(span[2])
    if first > last:
        raise ZooError(f"label={label}: the range {span[0]} must go up.")
    names = [str(c) for c in class_names]
    if any(map(_is_number, names)):
        for end in (span[1], span[2]):
            class_index(end, num_classes, names)  # which says what there is
        between = [n for n in names if _is_number(n) and first <= int(n) <= last]
        return sorted(between, key=int)
    # Up to one index too many, which is refused in words.
    return range(first, max(first, min(last, num_classes)) + 1)


def draw_labels(
    label: Label, n: int, num_classes: int, class_names: Sequence[str] = (), seed: int = 0
) -> Tensor | None:
    """Labels to sample with: `n` of each class that `label` names, in order.

    Args:
        label: see `parse_labels`; None draws `n` labels at random, each class as likely.
        n: images per named class.

    Returns:
        int64 labels, (n × number of classes named,); None for an unconditional model.
    """
    if n < 1:
        raise ZooError(f"n={n} must be 1 or more images.")
    if label is not None:
        chosen = parse_labels(label, num_classes, class_names)
        return torch.tensor(chosen).repeat_interleave(n)
    if num_classes == 0:
        return None
    # Another stream than the latents', so that a label is no function of its latent.
    return torch.randint(num_classes, (n,), generator=seeded((seed + 2**62) % 2**63))


def interpolate(
    a: Tensor, b: Tensor, t: Tensor | float, how: Literal["linear", "spherical"] = "spherical"
) -> Tensor:
    """Points between latents `a` and `b` (broadcast, last dimension latent_dim); t = 0 gives `a`.

    The spherical way, sin((1-t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b with Ω the angle between them,
    stays where normal latents are (White, 2016, arXiv:1609.04468); the linear one passes close to
    the mean, where they never are.
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    if t.dim():
        t = t.unsqueeze(-1)
    line = a + t * (b - a)
    if how == "linear":
        return line
    cosine = torch.cosine_similarity(a, b, dim=-1).clamp(-1, 1).unsqueeze(-1)
    omega = torch.acos(cosine)
    arc = (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)
    # Along parallel or opposite latents there is no unique arc.
    return torch.where(torch.sin(omega).abs() > 1e-4, arc, line)


def walk(points: Tensor, frames: int, how: Literal["linear", "spherical"] = "spherical") -> Tensor:
    """A closed path through `points` (P, latent_dim): (frames, latent_dim), evenly spaced."""
    if frames < 2:
        raise ZooError(f"frames={frames} must be 2 or more.")
    position = torch.arange(frames, dtype=points.dtype) * (len(points) / frames)
    start = position.floor().long()
    following = (start + 1) % len(points)
    return interpolate(points[start], points[following], position - start, how)


@contextmanager
def class_weights_allowed(generator: Generator) -> Iterator[None]:
    """Within it, the generator also takes class weights (N, num_classes) in place of labels.

    Labels are integers; what lies between two classes is a mix of their one-hot vectors, or of
    their embeddings: e(y) becomes w E. Generators take mixed one-hot vectors as they are
    (`append_one_hot`); embedding layers are taught for the time.

    Raises:
        ZooError: the generator is an exported file.
    """
    if isinstance(generator, ExportedGenerator):
        raise ZooError(
            "an exported file takes whole classes, not mixtures of them: load the checkpoint to go "
            "from one class to another."
        )

    def mixed(table: nn.Embedding) -> Callable[[Tensor], Tensor]:
        def forward(y: Tensor) -> Tensor:
            classes = torch.arange(table.num_embeddings, device=y.device)
            return y @ type(table).forward(table, classes)

        return forward

    tables = [m for m in generator.modules() if isinstance(m, nn.Embedding)]
    tables = [m for m in tables if m.num_embeddings == generator.num_classes]
    for table in tables:
        setattr(table, "forward", mixed(table))  # noqa: B010 (hides the method)
    try:
        yield
    finally:
        for table in tables:
            del table.forward


def mix_classes(a: Tensor, b: Tensor, t: Tensor, num_classes: int) -> Tensor:
    """Class weights (N, num_classes) between labels `a` and `b`, each (N,), at t in [0, 1]."""
    t = t.unsqueeze(-1)
    return (1 - t) * one_hot(a, num_classes) + t * one_hot(b, num_classes)


def standing_statistics(
    generator: Generator, forwards: int = 16, max_batch: int = 64, seed: int = 0
) -> bool:
    """Replace the batch-norm statistics by their mean over `forwards` fresh passes, in place.

    Reset, `forwards` passes in train mode with random batch sizes (2 to `max_batch`) and random
    labels, then eval: the standing statistics of BigGAN (Brock et al., 2019, arXiv:1809.11096).
    Only batch norms go into train mode; a generator without any is left as it is.

    Returns:
        Whether there were any batch norms.

    Raises:
        ZooError: no passes or images to average over, or the generator is an exported file.
    """
    if isinstance(generator, ExportedGenerator):
        raise ZooError(
            "standing statistics cannot be computed for an exported file, whose batch norms are "
            "fixed: give standing_statistics to the export of the checkpoint."
        )
    norms = [m for m in generator.modules() if isinstance(m, BatchNorm)]
    norms = [m for m in norms if m.track_running_stats]
    if not norms:
        return False
    if forwards < 1 or max_batch < 2:
        raise ZooError(
            f"standing statistics need 1 or more passes of 2 or more images: got {forwards} passes "
            f"of up to {max_batch}."
        )
    random = seeded(seed)
    device = next(generator.parameters()).device
    generator.eval()
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's cumulative mean
        norm.train()
    with torch.inference_mode():
        for _ in range(forwards):
            size = int(torch.randint(2, max_batch + 1, (), generator=random))
            z = generator.sample_latent(size, random)
            y = None
            if generator.num_classes:
                y = torch.randint(generator.num_classes, (size,), generator=random).to(device)
            generator(z.to(device), y)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
    return True
