"""Fake tensors on another device, on any machine: they have shapes but no values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.layers.pretrained import FrozenNetwork

DEVICE = "lazy"
"""The type of the fake device. Autograd must have no threads of its own for it."""
_autocast, _is_autocast_enabled = torch.autocast, torch.is_autocast_enabled


class _NoCopies(TorchDispatchMode):
    """Refuses copies from the CPU to the device, which a CUDA graph cannot contain."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        if operation in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[0] if operation is torch.ops.aten._to_copy.default else args[1]
            if source.device.type == "cpu" and result.device.type == DEVICE:
                raise RuntimeError(f"{tuple(source.shape)} is copied from the processor in a step")
        return result


class FakeDevice:
    """Moves modules to a device that does not exist, and computes shapes on it.

    An operation that mixes devices, or reads a value on the host, raises an error.
    """

    def __init__(self) -> None:
        self._mode = FakeTensorMode()
        self._moved: dict[int, tuple[Tensor, Tensor]] = {}

    def place(self, module: Any) -> Any:
        """Move the parameters and buffers of a module to the device; shared ones remain shared."""
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                for name, value in tensors.items():
                    if value is not None:
                        tensors[name] = self._once(value)
            if isinstance(part, FrozenNetwork):
                self.place(part.network)
        return module

    def _once(self, value: Tensor) -> Tensor:
        if id(value) not in self._moved:
            moved = self._mode.fake_tensor_converter.from_meta_and_device(
                self._mode, value.detach().to("meta"), torch.device(DEVICE)
            )
            if isinstance(value, nn.Parameter):
                moved = nn.Parameter(moved, requires_grad=value.requires_grad)
            for tensor in (value, moved):  # keeping both prevents the reuse of their ids
                self._moved[id(tensor)] = (tensor, moved)
        return self._moved[id(value)][1]

    @contextlib.contextmanager
    def computing(self, copies: bool = True) -> Iterator[None]:
        """Compute shapes within the block; without `copies`, copies from the host are errors."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._mode)
            stack.enter_context(mock.patch.object(torch, "autocast", _no_autocast))
            stack.enter_context(mock.patch.object(torch, "is_autocast_enabled", _is_autocast))
            if not copies:
                stack.enter_context(_NoCopies())
            yield


def _no_autocast(device: str, *args: Any, **kwargs: Any) -> Any:
    """Ignore autocast on `DEVICE`, for which torch has none."""
    return contextlib.nullcontext() if device == DEVICE else _autocast(device, *args, **kwargs)


def _is_autocast(device: str = "cpu") -> bool:
    return device != DEVICE and _is_autocast_enabled(device)


def is_on_device(values: Any) -> bool:
    return all(v.device.type == DEVICE for v in tree_leaves(values))
