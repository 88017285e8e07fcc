"""Rebuild networks from a file's description and its tensors, with memory in proportion to these.

A description of a few characters may ask for a network of any size. Networks are therefore first
built on the meta device, where tensors take no memory, and refused if they outgrow the file.
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
from zoo.core.errors import ZooError, with_article
from zoo.core.random import forked_random
from zoo.core.tensors import SHARED
from zoo.inference.describe import is_spec
from zoo.inference.locate import called
from zoo.layers.product import route_products
from zoo.registry import factory, remake

Weights = Literal["ema", "raw"]
OTHERS = 2**27
"""The number of values, half a gigabyte, that networks may have in addition to a file's tensors.

A discriminator may contain a pretrained network that no checkpoint stores.
"""
_MODULES_PER_TENSOR = 20
_MODULES = 1000
"""How many modules and parameters may be registered: this many, and some per tensor in the file.

Some modules have no tensor, and some parameters are registered several times.
"""


def network_of(
    kind: str, info: dict[str, Any], state: dict[str, Tensor], prefix: str, file: Path
) -> Any:
    """Rebuild a network with its weights, on the CPU.

    Args:
        kind: `generator` or `discriminator`.
        info: the file's description.
        state: all tensors of the file.
        prefix: the prefix of the names of the network's tensors.
        file: the file, for error messages.

    Raises:
        ZooError: the network cannot be built here or does not fit its tensors, or these are not
            finite.
    """
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    if kind == "generator":  # a discriminator may contain a network that no file stores
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


def check_extent(make: Callable[[], Any], state: dict[str, Tensor], file: Path) -> None:
    """Refuse networks that are far larger than a file's tensors, before they take memory.

    Args:
        make: builds the networks. Its other errors are ignored, since they occur again when the
            networks are really built.
        state: the tensors of the file.
        file: the file, for error messages.

    Raises:
        ZooError: the networks are too large.
    """
    most = SHARED * sum(value.numel() for value in state.values()) + OTHERS
    left = [_MODULES + _MODULES_PER_TENSOR * len(state), most]

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
    except Exception:  # not possible on the meta device, or an error that will occur again
        return


class _TooLarge(Exception):
    """Raised when a network on the meta device has outgrown its file."""


def _sketch(info: dict[str, Any], own: dict[str, Tensor], prefix: str, file: Path) -> None:
    """Build a generator on the meta device, and refuse it if it does not fit its tensors."""
    try:
        with torch.device("meta"), _no_larger_than(own):
            _check_fit(_rebuild("generator", info, file), own, prefix, file)
    except ZooError:
        raise
    except Exception as error:
        # A constructor that reads values fails only on the meta device; other errors are real.
        if not (isinstance(error, NotImplementedError) or "meta" in str(error)):
            raise ZooError(
                f"{file} does not fit its own description: the {prefix.rstrip('.')} that it "
                f"describes cannot hold its tensors ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]})."
            ) from error


def latent_of(info: dict[str, Any], file: Path) -> Latent | None:
    """Return the prior of a file's latents, which is normal if an old file names none.

    Raises:
        ZooError: the prior cannot be created here, or its length is not that of the generator's
            latents.
    """
    dim = info["generator"]["options"].get("latent_dim")
    spec = info.get("latent", None if dim is None else {"name": "normal", "options": {"dim": dim}})
    if spec is None:
        return None
    try:
        latent = remake("latent", spec["name"], spec["options"])
    except (ZooError, TypeError) as error:
        raise ZooError(
            f"{file} needs the latent {spec['name']!r}, which cannot be created here: {error}"
        ) from error
    if dim is not None and latent.dim != dim:
        raise ZooError(
            f"{file} has latents of length {latent.dim} for a generator that takes length {dim}."
        )
    return latent


def _rebuild(kind: str, info: dict[str, Any], file: Path) -> Any:
    """Create a network of a checkpoint through the registry, with its prior."""
    spec = info.get(kind)
    if not is_spec(spec):
        raise ZooError(f"{file} does not describe {with_article(kind)}.")
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
            f"{file} needs the {kind} {spec['name']!r}{origin}, but it cannot be created here: "
            f"{error}"
        ) from error
    if kind == "generator" and latent is not None:
        network.latent = latent
    return network


@contextmanager
def _no_larger_than(own: dict[str, Tensor]) -> Iterator[None]:
    """Raise an error within the context if a network outgrows a file's tensors."""
    most = max((value.numel() for value in own.values()), default=0)
    left = _MODULES + _MODULES_PER_TENSOR * len(own)

    def look(module: nn.Module, name: str, part: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OverflowError("it has more layers than the file has tensors for")
        if isinstance(part, Tensor) and part.numel() > most:
            raise OverflowError(f"{name} has {part.numel():,} values, more than any tensor has")

    with _registered(look):
        yield


@contextmanager
def _registered(look: Callable[[nn.Module, str, Any], None]) -> Iterator[None]:
    """Call `look` within the context for each submodule and parameter that is registered."""
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
    """Refuse tensors that differ from the network's in names, shapes or kinds of data types."""
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
        dtype = own[name].dtype
        if dtype != value.dtype and not (dtype.is_floating_point and value.dtype.is_floating_point):
            raise ZooError(
                f"{file} does not fit its own description: {prefix}{name} holds "
                f"{_plain(dtype)} where the network has {_plain(value.dtype)}."
            )


def _plain(dtype: torch.dtype) -> str:
    """Return the name of a data type, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def check_finite(value: Tensor, is_weight: bool, name: str, source: Path | str) -> None:
    """Refuse a tensor of a training that diverged; buffers may be infinite, as masks are.

    Args:
        value: the tensor.
        is_weight: whether it is a parameter rather than a buffer.
        name: the tensor's name, for the error message.
        source: the file that holds it, for the error message.

    Raises:
        ZooError: it has NaN values, or is a parameter with infinite values.
    """
    bad = ~value.isfinite() if is_weight else value.isnan()
    if bad.any():
        raise ZooError(
            f"{source} holds a network whose training diverged: {name} has NaN or infinite "
            "values; use an earlier checkpoint."
        )


def choose_weights(info: dict[str, Any], weights: Weights | None, file: Path) -> Weights:
    """Return the requested kind of weights, or by default the EMA weights if the file has them.

    Raises:
        ZooError: the file does not hold the requested kind.
    """
    available: list[Weights] = ["ema", "raw"] if info.get("ema") else ["raw"]
    if "weights" in info:  # an exported file holds one kind
        available = [info["weights"]]
    if weights is not None and weights not in available:
        raise ZooError(
            f"weights={weights}: {called(file)} holds no {weights} weights, only {available[0]}."
        )
    return weights or available[0]
