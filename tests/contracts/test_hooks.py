"""Every hook that acts in a step has a case on the tape that stands in for a CUDA graph.

Most cases are the parts of the registry (`test_a_captured_step_is_the_eager_one`); here are those
for latents, schedules and hooks that no part of the zoo overrides.
"""

from __future__ import annotations

import inspect

import pytest
import torch
from adversarial import assert_same, batch, make_step, networks
from tape import Recorder

import zoo
import zoo.registry as registry
from zoo.training.cuda_graph import GraphedStep
from zoo.training.ema import EMA
from zoo.training.schedules import Schedules
from zoo.training.terms import named

ON_THE_TAPE = ("generator", "discriminator", "head", "loss", "regularizer", "augmentation")
"""Kinds whose parts all go through a captured step."""
BESIDE_THE_STEP = {
    "generator": {"truncate", "sample_latent", "has_mapping", "height", "width"},
    "discriminator": {
        "attach_head", "default_head_of", "stages", "height", "width",
        "has_batch_statistics", "mixes_images", "forward",
    },
    "head": set(),
    "loss": set(),
    "regularizer": {"overrides", "gives_penalty", "diagnose"},
    "augmentation": {"acts"},
    "latent": {"truncate"},
    "schedule": set(),
}  # fmt: skip
"""What a contract offers and no step calls on its way; D's `forward` gives way to `outputs`."""
SWITCHES = [
    ("head", "replaces_loss"),
    ("head", "needs_real"),
    ("head", "input_channels"),
    ("loss", "needs_real"),
    ("regularizer", "needs_real"),
    ("regularizer", "differentiates"),
    ("regularizer", "repeats"),
    ("regularizer", "packs"),
    ("regularizer", "per_sample"),
]
"""Attributes of a class that change what the step does."""


def base_of(kind: str) -> type:
    return getattr(zoo, registry.KINDS[kind].base)


def hooks() -> list[tuple[str, str]]:
    """All that a subclass may override and a step calls, by kind."""
    found = []
    for kind, beside in BESIDE_THE_STEP.items():
        own = [n for n, v in vars(base_of(kind)).items() if callable(v) or isinstance(v, property)]
        found += [(kind, n) for n in own if not n.startswith("_") and n not in beside]
    return found


def classes(kind: str) -> list[type]:
    return [part.load() for part in registry.REGISTRY.parts(kind)]


class Shrinking(zoo.Generator):
    """A generator with a term of its own: the hook that no part of the zoo overrides."""

    def __init__(self):
        super().__init__(8, 2, 6, 3)
        self.linear = torch.nn.Linear(6, 2 * 8 * 8)

    def forward(self, z, y=None):
        return self.linear(z).tanh().view(-1, 2, 8, 8)

    def auxiliary(self, update):
        return {"size": 0.1 * update.generated.images.square().mean()}


OWN = {("generator", "auxiliary"): Shrinking}


@pytest.mark.parametrize(("kind", "hook"), hooks())
def test_every_hook_has_a_case(kind, hook):
    if (kind, hook) in OWN or kind in ("latent", "schedule"):  # below
        return
    assert kind in ON_THE_TAPE
    plain = inspect.getattr_static(base_of(kind), hook)
    cases = [c for c in classes(kind) if inspect.getattr_static(c, hook) is not plain]
    assert any(c.claims_cuda_graph for c in cases), f"no {kind} overrides {hook}"


@pytest.mark.parametrize(("kind", "switch"), SWITCHES)
def test_every_switch_has_a_case(kind, switch):
    plain = getattr(base_of(kind), switch)
    parts = [c for c in classes(kind) if c.claims_cuda_graph]
    if switch == "packs":  # its constructor sets it
        assert registry.create("regularizer", "packing").packs > plain
    else:
        assert any(getattr(c, switch) != plain for c in parts)


def both_ways(make, steps: int = 6):
    """Train eagerly and on the tape, and compare what comes out."""
    eager, step = make(), make()
    captured = GraphedStep(step, warmup=1, capture=Recorder())
    for index in range(steps):
        images, labels = batch(index)
        values = []
        for call in (eager, captured):
            torch.manual_seed(index)
            values.append(call(images, labels, index, index * len(images)))
        torch.testing.assert_close(*values, check_dtype=False)  # kept in fp32
    assert captured.captured
    assert not captured.note
    assert_same(eager.generator, step.generator)
    assert_same(eager.discriminator, step.discriminator)
    return values[0]


@pytest.mark.usefixtures("float64")
def test_a_generators_own_term():
    def make():
        torch.manual_seed(0)
        return make_step(Shrinking(), networks()[1], "hinge")

    assert both_ways(make)["size_g"] > 0


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", registry.list_parts("latent"))
def test_latents(name):
    options = {"categorical": [3], "continuous": 1} if name == "codes" else {}

    def make():
        g, d = networks()
        g.latent = registry.create("latent", name, dim=6, **options)
        return make_step(g, d, "hinge")

    both_ways(make)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", registry.list_parts("schedule"))
def test_schedules(name):
    """Numbers that change in every step, also where the graph was captured long before."""
    changing = {"start": 1e-3, "end": 4e-3, "images": 20}
    options = {"value": 2e-3} if name == "constant" else changing

    def make():
        g, d = networks()
        ema = EMA(g, half_life=50)
        parts = named([registry.create("regularizer", "r1")])
        noise = registry.create("augmentation", "instance_noise")
        step = make_step(g, d, "hinge", [*parts.values()], augmentations=[noise], ema=ema)
        targets = ("lr_g", "ema_half_life", "regularizer.r1.gamma", "augmentation.noise.sigma")
        schedule = registry.create("schedule", name, **options)
        step.schedules = Schedules(
            dict.fromkeys(targets, schedule),
            (step.optimizer_g, step.optimizer_d),
            ema=ema,
            parts={"regularizer.r1": parts["r1"], "augmentation.noise": noise},
        )
        return step

    both_ways(make)


def schedulable() -> list[tuple[str, str, str]]:
    found = []
    for kind in ("loss", "regularizer", "augmentation"):
        for part in registry.REGISTRY.parts(kind):
            found += [(kind, part.name, option) for option in part.load().schedulable]
    return found


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("kind", "name", "option"), schedulable())
def test_what_can_be_scheduled_works_as_a_tensor(kind, name, option):
    """The 0-dim tensor of a schedule trains as the number that it holds."""
    assert option in {p.name for p in registry.REGISTRY.get(kind, name).options}
    steps = []
    for as_tensor in (False, True):
        part = registry.create(kind, name)
        value = float(getattr(part, option) or 0.3)
        as_tensor |= isinstance(getattr(part, option), torch.Tensor)
        setattr(part, option, torch.tensor(value) if as_tensor else value)
        torch.manual_seed(0)
        added = {"regularizers": [part]} if kind == "regularizer" else {}
        if kind == "augmentation":
            added = {"augmentations": [part]}
        step = make_step(*networks(), part if kind == "loss" else "bce", **added)
        for regularizer in step.regularizers.values():
            regularizer.every = 1
        for index in range(2):
            torch.manual_seed(index)
            step(*batch(index), index)
        steps.append(step)
    assert_same(steps[0].generator, steps[1].generator)
    assert_same(steps[0].discriminator, steps[1].discriminator)
