"""Networks from a file's description and its tensors, at the cost of these tensors.

A description is a few letters and may ask for any size: before anything is made in earnest it is
sketched without memory, and a sketch that outgrows the file is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from zoo.contracts.latent import Latent
from zoo.core.errors import ZooError, listing
from zoo.core.random import forked_random
from zoo.core.tensors import SHARED
from zoo.inference.describe import is_spec
from zoo.layers.product import route_products
from zoo.registry import factory, remake

Weights = Literal["ema", "raw"]
OTHERS = 2**27
"""Values of networks within a network that its file does not hold: half a gigabyte of them."""
_MODULES_PER_TENSOR = 20
_MODULES = 1000
"""Parts of a network that need no tensor in the file, and parameters made again on the way."""


def network_of(
    kind: str, info: dict[str, Any], state: dict[str, Tensor], prefix: str, file: Path
) -> Any:
    """The network of a file with its weights, on the CPU.

    Args:
        kind: `generator` or `discriminator`.
        prefix: of its tensors' names in `state`.

    Raises:
        ZooError: it cannot be made here, does not fit its tensors, or these are not finite.
    """
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if kind == "generator":  # a discriminator may have a network inside that no file holds
        _sketch(info, own, prefix, file)
    else:
        check_extent(lambda: _rebuild(kind, info, file), own, file)
    network = _rebuild(kind, info, file)
    _check_fit(network, own, prefix, file)
    weights = dict(network.named_parameters())
    for name, value in own.items():
        check_finite(value, name in weights, f"{prefix}{name}", file)
    network.load_state_dict(own)
    route_products(network)
    return network


def check_extent(make: Callable[[], Any], held: dict[str, Tensor], file: Path) -> None:
    """Refuse networks that are far larger than a file's tensors, before they take their memory.

    They may hold others that no file holds, such as pretrained ones, of `OTHERS` values.

    Args:
        make: makes them; what else it raises is raised again in earnest.

    Raises:
        ZooError: they would be.
    """
    most = SHARED * sum(value.numel() for value in held.values()) + OTHERS
    left = [_MODULES + _MODULES_PER_TENSOR * len(held), most]

    def look(module: nn.Module, name: str, part: Any) -> None:
        left[0] -= 1
        left[1] -= part.numel() if isinstance(part, Tensor) else 0
        if min(left) < 0:
            raise _TooLarge

    try:
        with torch.device("meta"), forked_random(), warnings.catch_warnings(), _registered(look):
            warnings.simplefilter("ignore")
            make()
    except _TooLarge as error:
        raise ZooError(
            f"{file} asks for networks that are far larger than the tensors that it holds."
        ) from error
    except Exception:  # it cannot be sketched, or fails in earnest too
        return


class _TooLarge(Exception):
    """A sketch has outgrown its file."""


def _sketch(info: dict[str, Any], own: dict[str, Tensor], prefix: str, file: Path) -> None:
    """Refuse a generator that does not fit its tensors before it takes its gigabytes."""
    try:
        with torch.device("meta"), _no_larger_than(own):
            _check_fit(_rebuild("generator", info, file), own, prefix, file)
    except ZooError:
        raise
    except Exception as error:
        # A constructor that looks at values cannot be sketched; all else would fail in earnest.
        if not (isinstance(error, NotImplementedError) or "meta" in str(error)):
            raise ZooError(
                f"{file} does not fit its own description: the {prefix.rstrip('.')} that it "
                f"describes cannot hold its tensors ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]})."
            ) from error


def latent_of(info: dict[str, Any], file: Path) -> Latent | None:
    """The prior of a file's latents; that of version 0.1.0 was normal and went unsaid.

    Raises:
        ZooError: it cannot be made here, or is of another length than the generator's latents.
    """
    dim = info["generator"]["options"].get("latent_dim")
    held = info.get("latent", None if dim is None else {"name": "normal", "options": {"dim": dim}})
    if held is None:
        return None
    try:
        latent = remake("latent", held["name"], held["options"])
    except (ZooError, TypeError) as error:
        raise ZooError(
            f"{file} needs the latent {held['name']!r}, and it cannot be made here: {error}"
        ) from error
    if dim is not None and latent.dim != dim:
        raise ZooError(
            f"{file} has latents of {latent.dim} numbers for a generator that takes {dim}."
        )
    return latent


def _rebuild(kind: str, info: dict[str, Any], file: Path) -> Any:
    """Make a network of a checkpoint through the registry."""
    spec = info.get(kind)
    if not is_spec(spec):
        raise ZooError(f"{file} does not describe a {kind}.")
    assert spec is not None
    options = dict(spec["options"])
    head = spec.get("head")
    latent = latent_of(info, file)
    try:
        if head:
            options["head"] = factory("head", head["name"], **head["options"])
            options["head"].latent = latent
        network = remake(kind, spec["name"], options)
    except (ZooError, TypeError) as error:
        source = (info.get("sources") or {}).get(kind, "zoo")
        origin = "" if source == "zoo" else f", which came from the plugin {source}"
        raise ZooError(
            f"{file} needs the {kind} {spec['name']!r}{origin}, and it cannot be made here: {error}"
        ) from error
    if kind == "generator" and latent is not None:
        network.latent = latent
    return network


@contextmanager
def _no_larger_than(own: dict[str, Tensor]) -> Iterator[None]:
    """Within it, modules of more parts or values than a file's tensors support are an error."""
    most = max((value.numel() for value in own.values()), default=0)
    left = _MODULES + _MODULES_PER_TENSOR * len(own)

    def look(module: nn.Module, name: str, part: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OverflowError("it has more layers than the file has tensors for")
        if isinstance(part, Tensor) and part.numel() > most:
            raise OverflowError(f"{name} has {part.numel():,} values, and no tensor has that many")

    with _registered(look):
        yield


@contextmanager
def _registered(look: Callable[[nn.Module, str, Any], None]) -> Iterator[None]:
    """Within it, each part that a module is given is looked at."""
    handles: list[Any] = [
        register_module_module_registration_hook(look),
        register_module_parameter_registration_hook(look),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_fit(network: nn.Module, own: dict[str, Tensor], prefix: str, file: Path) -> None:
    """Refuse tensors that are not all the network's, all there, of its shapes and kinds."""
    expected = network.state_dict()
    wrong = [k for k in expected if k not in own or own[k].shape != expected[k].shape]
    wrong += [k for k in own if k not in expected]
    if wrong:
        raise ZooError(
            f"{file} does not fit its own description: {len(wrong)} tensors of "
            f"{prefix.rstrip('.')} are missing, surplus or of another shape (first: {wrong[0]}); "
            "it was written by another version of that part."
        )
    for name, value in expected.items():
        held = own[name].dtype
        if held != value.dtype and not (held.is_floating_point and value.dtype.is_floating_point):
            raise ZooError(
                f"{file} does not fit its own description: {prefix}{name} holds "
                f"{_plain(held)} where the network has {_plain(value.dtype)}."
            )


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def check_finite(value: Tensor, is_weight: bool, name: str, source: Path | str) -> None:
    """Refuse a tensor of a training that diverged; buffers may hold infinities, as masks do.

    Args:
        is_weight: it is a parameter, and no buffer.
        name: of the tensor, for the sentence.
        source: the file that holds it, for the sentence.

    Raises:
        ZooError: it has NaN values, or, as a weight, infinite ones.
    """
    bad = ~value.isfinite() if is_weight else value.isnan()
    if bad.any():
        raise ZooError(
            f"{source} holds a network whose training diverged: {name} has NaN or infinite "
            "values; take an earlier checkpoint."
        )


def choose_weights(info: dict[str, Any], weights: Weights | None, file: Path) -> Weights:
    """The weights asked for, else the best that a file holds.

    Raises:
        ZooError: it does not hold those.
    """
    held: list[Weights] = ["ema", "raw"] if info.get("ema") else ["raw"]
    if "weights" in info:  # an exported file holds one kind
        held = [info["weights"]]
    if weights is not None and weights not in held:
        raise ZooError(f"{file} holds no {weights} weights: it has {listing(held)}.")
    return weights or held[0]
