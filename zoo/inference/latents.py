"""Prepare the inputs of a generator: latents, labels and batch-norm statistics.

Shapes: latents (N, latent_dim) float32, labels (N,) int64. Random numbers are drawn on the CPU from
given seeds, so that a seed gives the same latents on every device.
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
        ZooError: `n` is below 1, or `seed` is not a 64-bit integer.
    """
    if n < 1:
        raise ZooError(f"n={n} must be 1 or more images.")
    return generator.sample_latent(n, seeded(seed))


def check_given(generator: Generator, z: Tensor, y: Tensor | None) -> None:
    """Refuse latents and labels that do not suit the generator.

    Args:
        generator: the generator.
        z: latents (N, latent_dim).
        y: classes (N,), or weights of all classes (N, K); None for none.

    Raises:
        ZooError: they have a wrong shape or data type, or the generator does not have a class.
    """
    expected = f"latents must be floats (N, {generator.latent_dim})"
    if not z.is_floating_point() or z.dim() != 2 or z.shape[1] != generator.latent_dim:
        raise ZooError(f"{expected}, but got {z.dtype} {tuple(z.shape)}.")
    if not len(z):
        raise ZooError(f"{expected}, with N of 1 or more, but got none.")
    if y is None or not generator.num_classes:
        return
    expected = f"labels must be integers (N,) from 0 to {generator.num_classes - 1}"
    if len(y) != len(z) or (y.dim() == 1 and y.is_floating_point()):
        raise ZooError(f"{expected}, but got {y.dtype} {tuple(y.shape)} for {len(z)} latents.")
    if y.dim() == 1 and not bool(((y >= 0) & (y < generator.num_classes)).all()):
        raise ZooError(f"{expected}, but got {int(y.min())} to {int(y.max())}.")


def draw_seeds(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """Draw one latent per seed, (len(seeds), latent_dim); each depends only on its own seed."""
    if not seeds:
        raise ZooError("seeds is empty: give, for example, 0-15 or 3,7,12.")
    return torch.cat([draw_latents(generator, 1, seed) for seed in seeds])


def parse_integers(text: str, what: str) -> list[int]:
    """Read `7`, `0-15` or `3,7 12` (brackets allowed) as a list of integers."""
    numbers: list[int] = []
    for item in re.split(r"[,\s]+", str(text).strip("[]() ")):
        span = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
        if span is None:
            raise ZooError(f"{what}={text!r} is not a list of integers: write 7, 0-15 or 3,7,12.")
        first, last = int(span[1]), int(span[2] or span[1])
        if not first <= last < first + 1_000_000:
            raise ZooError(
                f"{what}={text!r}: the range {item} must increase, and have at most a million "
                "numbers."
            )
        numbers.extend(range(first, last + 1))
    return numbers


def class_index(name: int | str, num_classes: int, class_names: Sequence[str] = ()) -> int:
    """Return the index of a class, by the same rule for strings and numbers.

    `name` is looked up as the name of a class; then as a name with another case or with the same
    value as a number (5 for the class 005), if that is unique; and at last as an index, unless the
    classes have numbers as names.

    Args:
        name: the name or index of the class.
        num_classes: the number of classes.
        class_names: the names of the classes; empty without names.

    Raises:
        ZooError: there is no such class, or several match.
    """
    names = [str(c) for c in class_names]
    text = str(name).strip()
    if not isinstance(name, bool):
        if text in names:
            return names.index(text)
        matches = [i for i, class_name in enumerate(names) if _is_same(class_name, text)]
        if len(matches) > 1:
            choices = listing(names[i] for i in matches)
            raise ZooError(
                f"label={name} matches several classes ({choices}): write one of these names."
            )
        if matches:
            return matches[0]
    if any(map(_is_number, names)) and names != [str(i) for i in range(num_classes)]:
        hint = "" if _is_number(text) else suggest(text, names)
        raise ZooError(
            f"label={name} is not a class of this model: its classes are {listing(names)}, and "
            f"since these names are numbers, a number is taken as a name.{hint}"
        )
    hint = ""
    try:
        index = int(text)
    except ValueError:
        index, hint = -1, suggest(text, names)
    if isinstance(name, bool) or not 0 <= index < num_classes:
        numbers = list(map(str, range(num_classes)))
        named = f" ({listing(names)})" if names and list(names) != numbers else ""
        raise ZooError(
            f"label={name} is not a class of this model: its labels are 0 to {num_classes - 1}"
            f"{named}.{hint}"
        )
    return index


def _is_number(name: str) -> bool:
    return name.removeprefix("-").isdecimal()


def _is_same(name: str, text: str) -> bool:
    """Whether a string equals a class's name apart from case, or from leading zeros of a number."""
    if _is_number(name) and _is_number(text):
        return int(name) == int(text)
    return name.casefold() == text.casefold()


def parse_labels(label: Label, num_classes: int, class_names: Sequence[str] = ()) -> list[int]:
    """Read a choice of classes: a name, an index, `"all"`, a list, or a string like `0-3` or `0,4`.

    Each entry is read by `class_index`. If the classes have numbers as names, a range selects the
    classes whose names lie between its ends; otherwise its ends are indices.

    Raises:
        ZooError: the model has no classes, or does not have a label.
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
            raise ZooError("label=[] is empty: give a class, a list of classes, or all.")
        return [class_index(item, num_classes, class_names) for item in label]
    if isinstance(label, int):
        return [class_index(label, num_classes, class_names)]
    raise ZooError(f"label={label!r} must be a class, a list of classes, or all.")


def _span(
    label: str, span: re.Match[str], num_classes: int, class_names: Sequence[str]
) -> Sequence[int | str]:
    """Return the labels in a range such as `0-3`, whose ends are names if names are numbers."""
    first, last = int(span[1]), int(span[2])
    if first > last:
        raise ZooError(f"label={label}: the range {span[0]} must increase.")
    names = [str(c) for c in class_names]
    if any(map(_is_number, names)):
        for end in (span[1], span[2]):
            class_index(end, num_classes, names)  # raises an error if there is no such class
        between = [n for n in names if _is_number(n) and first <= int(n) <= last]
        return sorted(between, key=int)
    # Of the indices that are too large, keep the first one, which the caller refuses.
    return range(first, max(first, min(last, num_classes)) + 1)


def draw_labels(
    label: Label, n: int, num_classes: int, class_names: Sequence[str] = (), seed: int = 0
) -> Tensor | None:
    """Return the labels to sample with: `n` of each class that `label` names, in order.

    Args:
        label: see `parse_labels`; None draws `n` labels at random, with equal probabilities.
        n: the number of images per named class, or of all images if `label` is None.
        num_classes: the number of classes; 0 for an unconditional model.
        class_names: the names of the classes; empty without names.
        seed: the seed of random labels.

    Returns:
        int64 labels, (n × number of named classes,) or (n,); None for an unconditional model.
    """
    if n < 1:
        raise ZooError(f"n={n} must be 1 or more images.")
    if label is not None:
        chosen = parse_labels(label, num_classes, class_names)
        return torch.tensor(chosen).repeat_interleave(n)
    if num_classes == 0:
        return None
    # The seed differs from that of the latents, so that labels are independent of them.
    return torch.randint(num_classes, (n,), generator=seeded((seed + 2**62) % 2**63))


def interpolate(
    a: Tensor, b: Tensor, t: Tensor | float, how: Literal["linear", "spherical"] = "spherical"
) -> Tensor:
    """Interpolate between latents `a` and `b`.

    Spherical interpolation, sin((1-t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b with Ω the angle between
    them, stays in the region of normal latents (White, 2016, arXiv:1609.04468). Linear
    interpolation passes close to the mean, where latents are practically never drawn.

    Args:
        a, b: latents, which are broadcast; the last dimension is latent_dim.
        t: the position; 0 returns `a`, 1 returns `b`.
        how: `linear` or `spherical`.
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
    # Between parallel or opposite latents there is no unique arc.
    return torch.where(torch.sin(omega).abs() > 1e-4, arc, line)


def walk(points: Tensor, frames: int, how: Literal["linear", "spherical"] = "spherical") -> Tensor:
    """Return evenly spaced latents (frames, latent_dim) on a closed path through `points`.

    Args:
        points: latents (P, latent_dim).
        frames: the number of latents to return, 2 or more.
        how: `linear` or `spherical`; see `interpolate`.
    """
    if frames < 2:
        raise ZooError(f"frames={frames} must be 2 or more.")
    position = torch.arange(frames, dtype=points.dtype) * (len(points) / frames)
    start = position.floor().long()
    following = (start + 1) % len(points)
    return interpolate(points[start], points[following], position - start, how)


@contextmanager
def class_weights_allowed(generator: Generator) -> Iterator[None]:
    """Let the generator also accept class weights (N, num_classes) as labels within the context.

    A mixture of classes is a weighted mean of their one-hot vectors, or of their embeddings: e(y)
    becomes w E. Generators that use `append_one_hot` accept weights anyway; embedding layers are
    changed within the context.

    Raises:
        ZooError: the generator is an exported program.
    """
    if isinstance(generator, ExportedGenerator):
        raise ZooError(
            "an exported file accepts single classes, not mixtures of them: load the checkpoint to "
            "interpolate between classes."
        )

    def mixed(table: nn.Embedding) -> Callable[[Tensor], Tensor]:
        def forward(y: Tensor) -> Tensor:
            classes = torch.arange(table.num_embeddings, device=y.device)
            return y @ type(table).forward(table, classes)

        return forward

    tables = [m for m in generator.modules() if isinstance(m, nn.Embedding)]
    tables = [m for m in tables if m.num_embeddings == generator.num_classes]
    for table in tables:
        setattr(table, "forward", mixed(table))  # noqa: B010 (mypy rejects a plain assignment)
    try:
        yield
    finally:
        for table in tables:
            del table.forward


def mix_classes(a: Tensor, b: Tensor, t: Tensor, num_classes: int) -> Tensor:
    """Mix labels `a` and `b` (N,) at t (N,) in [0, 1] to class weights (N, num_classes)."""
    t = t.unsqueeze(-1)
    return (1 - t) * one_hot(a, num_classes) + t * one_hot(b, num_classes)


def standing_statistics(
    generator: Generator, forwards: int = 16, max_batch: int = 64, seed: int = 0
) -> bool:
    """Replace the batch-norm statistics by their mean over new forward passes, in place.

    These are the standing statistics of BigGAN (Brock et al., 2019, arXiv:1809.11096). The
    statistics are reset, and averaged over passes with random batch sizes and random labels. Only
    the batch norms are put into train mode; a generator without any is unchanged.

    Args:
        generator: the generator, which is in eval mode afterwards.
        forwards: the number of passes.
        max_batch: the largest batch size; the smallest is 2.
        seed: the seed of batch sizes, latents and labels.

    Returns:
        Whether the generator has batch norms.

    Raises:
        ZooError: `forwards` or `max_batch` is too small, or the generator is an exported program.
    """
    if isinstance(generator, ExportedGenerator):
        raise ZooError(
            "standing statistics cannot be computed for an exported file, whose batch norms are "
            "fixed: use standing_statistics=… when you export the checkpoint."
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
        norm.momentum = None  # PyTorch then computes a cumulative mean
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
