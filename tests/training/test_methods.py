"""The table of methods in zoo/training/README.md: each is a part, which uses the hook beside it."""

from __future__ import annotations

import inspect
import re

import pytest

import zoo
import zoo.registry as registry
from zoo.registry.places import ZOO

ROW = re.compile(r"\| (.+?) \| \[(.+?)\]\(https://arxiv\.org/abs/\2\) \| `(\w+)/(\w+)` \| (.+?) \|")
TEXT = (ZOO / "training" / "README.md").read_text(encoding="utf-8")
METHODS = [row.groups() for row in ROW.finditer(TEXT)]
PLAIN = {
    "augmentation": {"diffaugment"},
    "head": {"unconditional", "label_input", "projection", "stylegan2", "r3gan", "gat"},
    "regularizer": {
        "r1", "r2", "gradient_penalty", "dragan", "weight_clipping",
        "fd_r2", "finite_difference", "gan_qp", "wgan_div",
    },
}  # fmt: skip
"""Parts beside the table: scores and penalties of before it, and those that a loss of it brings."""


def test_the_table_has_all_methods():
    named = {(kind, name) for _, _, kind, name, _ in METHODS}
    assert len(METHODS) >= 38
    for kind, plain in PLAIN.items():
        parts = {p.name for p in registry.REGISTRY.parts(kind) if p.source == "zoo"}
        assert parts - plain == {name for k, name in named if k == kind}, kind


@pytest.mark.parametrize(("method", "paper", "kind", "name", "hooks"), METHODS)
def test_each_method_is_a_part_that_uses_its_hook(method, paper, kind, name, hooks):
    part = registry.REGISTRY.get(kind, name)
    assert paper in inspect.getdoc(part.load()), f"{method}: {paper} is not in its docstring"
    base = getattr(zoo, registry.KINDS[kind].base)
    for hook in re.findall(r"`(\w+)`", hooks):
        plain = inspect.getattr_static(base, hook)  # there is such a hook
        own = registry.create(kind, name).packs if hook == "packs" else None
        own = own or inspect.getattr_static(part.load(), hook)
        assert own is not plain, f"{method}: {kind} {name} does not use {hook}"
        assert own != plain
