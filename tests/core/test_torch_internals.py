"""Each private name of torch that the zoo uses is there and does what it did."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.core import torch_internals as internals


def pair(*values: float) -> list[Tensor]:
    return [torch.tensor(values), torch.tensor([[values[0]]])]


def test_lists_of_tensors_are_computed_at_once() -> None:
    assert [n.item() for n in internals.norms(pair(3.0, 4.0))] == [5, 3]
    a, b = pair(1.0, 2.0), pair(5.0, 7.0)
    assert internals.sub(b, a)[0].tolist() == [4, 5]
    assert internals.add(a, b, alpha=2)[0].tolist() == [11, 16]
    assert internals.mul(a, b)[0].tolist() == [5, 14]
    assert internals.mul(a, torch.tensor(3.0))[0].tolist() == [3, 6]
    assert internals.div(b, a)[1].tolist() == [[5]]
    assert internals.sqrt(pair(4.0, 9.0))[0].tolist() == [2, 3]
    internals.add_(a, b)
    assert a[0].tolist() == [6, 9]
    internals.mul_(a, torch.tensor(2.0))
    assert a[1].tolist() == [[12]]
    internals.copy_(a, b)
    assert a[0].tolist() == [5, 7]
    internals.lerp_(a, pair(9.0, 9.0), 0.5)
    assert a[0].tolist() == [7, 8]
    internals.clamp_min_(a, 7.5)
    internals.clamp_max_(a, 7.75)
    assert a[0].tolist() == [7.5, 7.75]


def test_tensors_are_joined_and_parted() -> None:
    tensors = [torch.arange(3.0), torch.ones(2, 2)]
    flat = internals.flatten(tensors)
    assert flat.tolist() == [0, 1, 2, 1, 1, 1, 1]
    parts = internals.unflatten(flat * 2, tensors)
    assert [p.shape for p in parts] == [t.shape for t in tensors]
    assert parts[0].tolist() == [0, 2, 4]


def test_a_dispatch_mode_sees_operations() -> None:
    seen = []

    class Watch(internals.DispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        torch.zeros(2) + 1
    assert any("add" in name for name in seen)


def test_the_linear_layer_of_onednn_where_there_is_one() -> None:
    if not internals.has_linear_pointwise():
        assert not torch.backends.mkldnn.is_available()
        return
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    with torch.no_grad():
        got = internals.linear_pointwise(x, layer.weight, layer.bias)
        torch.testing.assert_close(got, layer(x))


def test_errors_of_the_compiler_come_from_there() -> None:
    @torch.compile(fullgraph=True, backend="eager")
    def breaks(x: Tensor) -> Tensor:
        print("a break")
        torch._dynamo.graph_break()
        return x

    with pytest.raises(Exception) as caught:  # noqa: PT011
        breaks(torch.zeros(1))
    assert type(caught.value).__module__.startswith(internals.COMPILER)


def test_an_operation_tells_of_its_outputs_and_of_what_it_changes() -> None:
    aten = torch.ops.aten
    assert internals.outputs_and_mutation(aten.add.Tensor) == (1, False)
    assert internals.outputs_and_mutation(aten.normal_.default) == (1, True)
    assert internals.outputs_and_mutation(aten.native_dropout.default) == (2, False)


def test_batch_norm_refuses_the_features_of_one_image_in_these_words() -> None:
    with pytest.raises(ValueError, match=internals.NEEDS_TWO):
        nn.BatchNorm1d(2)(torch.zeros(1, 2))


def test_every_batch_norm_is_one() -> None:
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    assert all(issubclass(norm, internals.BatchNorm) for norm in norms)
    assert not issubclass(nn.LayerNorm, internals.BatchNorm)
