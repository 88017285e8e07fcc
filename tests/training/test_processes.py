"""Two processes that share a batch do what one does with the whole of it, part by part."""

from __future__ import annotations

import pytest
import torch
from shards import Case, process, trained
from torch import multiprocessing

import zoo.registry as registry

OPTIONS = {
    ("augmentation", "ada"): {"p": 0.5, "interval": 2, "speed": 1000.0, "set": "bgcfnc"},
    ("augmentation", "apa"): {"p": 0.5, "interval": 2, "speed": 1000.0},
    ("head", "infogan"): {"norm": "layer", "width": 8},
    ("loss", "afm"): {"share": 1.0},
    ("regularizer", "finite_difference"): {"share": 1.0},
    ("regularizer", "lecam"): {"start": 1},
    ("regularizer", "path_length"): {"shrink": 1},
    ("regularizer", "weight_clipping"): {"clip": 0.05},
}
"""What makes a part act within three steps, on the whole batch."""
MORE: list[Case] = [
    ("regularizer", "dig", {"pairing": "means"}),
    ("regularizer", "feature_matching", {"distance": "absolute"}),
    ("regularizer", "mode_seeking", {"form": "bounded"}),
    ("regularizer", "lecam", {"start": 0, "debias": True}),
    ("loss", "relativistic", {"kind": "hinge"}),
    ("layer", "minibatch", {}),
    ("layer", "spectral_norm", {}),
]
"""Other forms of a part, and what acts on a batch or on weights within a network."""
OWN = {
    ("regularizer", "top_k"): "k of each process's own images (its docstring says so)",
    ("regularizer", "packing"): "a pack is a score of its own, without labels",
}
"""Parts that do not share a batch, with the reason."""


def cases() -> list[Case]:
    parts = [
        (kind, name)
        for kind in ("augmentation", "head", "loss", "regularizer")
        for name in registry.list_parts(kind)
        if registry.REGISTRY.get(kind, name).source == "zoo" and (kind, name) not in OWN
    ]
    return [(kind, name, OPTIONS.get((kind, name), {})) for kind, name in parts] + MORE


def name_of(case: Case) -> str:
    return "-".join([*case[:2], *map(str, case[2].values())])


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """What two real processes come to, by case."""
    path = tmp_path_factory.mktemp("two")
    multiprocessing.spawn(process, (str(path), cases()), nprocs=2)
    return torch.load(path / "found.pt")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "case", cases(), ids=lambda c: "-".join([c[0], c[1], *map(str, c[2].values())])
)
def test_two_processes_do_what_one_does(case, by_two):
    one, two = trained(case), by_two[repr(case)]
    assert one.keys() == two.keys()
    assert any(name.startswith("metric") for name in one)
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=1e-6, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}"
        )
