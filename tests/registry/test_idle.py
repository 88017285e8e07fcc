"""Options that others leave without effect: refused in a sentence, never ignored."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from helpers_train import configure

import zoo
from zoo.cli.validation import validate
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY, idle_beside, idle_when, remake, spec_of
from zoo.registry.annotations import idle_marks
from zoo.registry.calls import held_to_annotations
from zoo.registry.signature import Parameter, bind, check_idle
from zoo.training.options import model_parameters

MARKED = [
    (place, parameter, parameters)
    for place, parameters in [
        ("model", model_parameters()),
        *((f"{p.kind} {p.name}", p.parameters) for p in REGISTRY.parts()),
    ]
    for parameter in parameters
    if idle_marks(parameter.type)
]
SHAPE = {"image_size": 16, "channels": 1}
REFUSED = [
    ("regularizer", "mode_seeking", {"limit": 5.0}, "form=ratio"),
    ("regularizer", "top_k", {"decay": 0.0, "period": 5}, "decay=0.0"),
    ("regularizer", "gradient_penalty", {"center": 0.0, "one_sided": True}, "center=0.0"),
    ("regularizer", "dragan", {"center": 0, "one_sided": True}, "center=0"),
    ("augmentation", "ada", {"adaptive": False, "target": 0.5}, "adaptive=false"),
    ("augmentation", "apa", {"adaptive": False, "interval": 1}, "adaptive=false"),
    ("augmentation", "diffaugment", {"color": False, "color_probability": 0.5}, "color=false"),
    ("loss", "afm", {"slope": 0.0, "share": 0.5}, "slope=0.0"),
    (
        "discriminator",
        "unet",
        {**SHAPE, "cutmix": 0.0, "consistency": 0.0, "ramp": 9},
        "cutmix=0.0 and consistency=0.0",
    ),
    (
        "discriminator",
        "fastgan",
        {"image_size": 32, "channels": 1, "reconstruction": "none", "decoder_channels": 4},
        "reconstruction=none",
    ),
    (
        "sampler",
        "mh",
        {"calibration": "none", "start": "generated", "held_out": 50},
        "calibration=none and start=generated",
    ),
    ("task", "sample", {"seeds": "0-3", "n": 5}, "seeds=0-3"),
    ("task", "sample", {"fps": 5.0}, "walk=none"),
    ("task", "evaluate", {"images": "a", "weights": "raw"}, "images=a"),
    ("task", "train", {"max_rollbacks": 5}, "on_nan=stop"),
    ("callback", "checkpoints", {"folder": "x", "mode": "max"}, "monitor=null"),
]


@pytest.mark.parametrize(("place", "option", "parameters"), MARKED)
def test_marks_name_options_beside_theirs(
    place: str, option: Parameter, parameters: tuple[Parameter, ...]
) -> None:
    known = {p.name: p for p in parameters}
    for mark in idle_marks(option.type):
        assert {*dict(mark.settings), *mark.others} <= known.keys() - {option.name}
        bind(tuple(replaced(p) for p in parameters), dict(mark.settings), place)
    assert not option.required


def replaced(parameter: Parameter) -> Parameter:
    return Parameter(parameter.name, parameter.type, None)


@pytest.mark.parametrize(("kind", "name", "options", "reason"), REFUSED)
def test_an_option_without_effect_is_refused(
    kind: str, name: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ZooError, match=f"has no effect with {reason}: leave one of them out"):
        zoo.create(kind, name, **options)


def test_what_is_by_default_or_null_was_not_given() -> None:
    parameters = (
        Parameter("a", Annotated[float, idle_when(b=0)] | None, 1.0),
        Parameter("b", int, 0),
        Parameter("c", Annotated[list, idle_beside("d")], [1, 2]),
        Parameter("d", str | None, None),
    )
    for given in ({"a": 1.0}, {"a": None}, {"a": 2.0, "b": 1}, {"c": (1, 2), "d": "x"}, {"c": [3]}):
        check_idle(parameters, given, "here: ")
    for given in ({"a": 2.0}, {"a": 2.0, "b": 0}, {"c": [3], "d": "x"}):
        with pytest.raises(ZooError, match=r"^here: [ac]=.* has no effect with [bd]=[0x]: leave"):
            check_idle(parameters, given, "here: ")


def test_functions_hold_what_they_are_called_with() -> None:
    @held_to_annotations("look")
    def look(a: Annotated[int, idle_when(b=False)] = 1, *, b: bool = False) -> int:
        return a

    assert look(1) == 1
    assert look(2, b=True) == 2
    with pytest.raises(ZooError, match="look: a=2 has no effect with b=false"):
        look(2)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.average=swa", "model.ema_beta=0.9"], r"model\.ema_beta=0\.9 .* average=swa"),
        (["model.lr_decay_start=0.5"], r"model\.lr_decay_start=0\.5 .* lr_decay=none"),
        (["model.ema_beta=0.9", "model.ema_half_life=5"], r"ema_half_life=5 .*ema_beta=0\.9"),
        (["model.ema_half_life=null", "model.ema_start=5"], r"model\.ema_start=5 .*ema_beta=null"),
        (
            ["model/augmentation=ada", "model.augmentation.ada.adaptive=false",
             "model.augmentation.ada.speed=9"],
            r"model\.augmentation\.ada\.speed=9 .*adaptive=false",
        ),
        (
            ["model/head=acgan", "model.head.weight_d=0", "model.head.both=true"],
            r"model\.head\.both=true .*weight_d=0",
        ),
        (["max_rollbacks=5"], "^max_rollbacks=5 has no effect with on_nan=stop"),
        (["callbacks.checkpoints.mode=max"], r"callbacks\.checkpoints\.mode=max .*monitor=null"),
    ],
)  # fmt: skip
def test_the_command_line_says_so_before_anything_is_made(overrides: list[str], said: str) -> None:
    config, _ = configure(*overrides)
    with pytest.raises(ZooError, match=said):
        validate(config)


def test_what_a_file_says_is_made_again() -> None:
    """Checkpoints of before, whose options nobody refused, still load."""
    made = remake("regularizer", "mode_seeking", {"limit": 5.0})
    assert made.limit == 5.0
    assert spec_of(made) == {"name": "mode_seeking", "options": {"limit": 5.0}}


CONSTANT = zoo.create("schedule", "constant", value=1.0)
NETWORKS = [
    ("generator", "mlp", {"image_size": 8, "channels": 1, "latent_dim": 4}),
    ("discriminator", "mlp", {"image_size": 8, "channels": 1}),
]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"head": "acgan"}, "head=… works only with a discriminator given by name"),
        ({"latent": "uniform"}, "latent=… works only with a generator given by name"),
        (
            {"image_size": 16},
            "image_size=16 applies only to networks given by name: MLPGenerator was",
        ),
        ({"num_classes": 3}, "num_classes=3 applies only to networks given by name"),
        (
            {"lr_decay": "cosine", "schedules": {"lr_d": CONSTANT}},
            r"model\.lr_decay=cosine and model\.schedules\.lr_d both set the learning rate",
        ),
        (
            {"augmentations": {"name": "ada", "adaptive": False}},
            "augmentation ada changes nothing as configured",
        ),
        ({"augmentations": {"name": "ada", "set": "noise", "multipliers": {"noise": 0}}}, "ada "),
        ({"augmentations": {"name": "instance_noise", "sigma": 0.0}}, "instance_noise changes not"),
        (
            {"augmentations": {"name": "diffaugment", "color": False, "translation": 0.0,
                               "cutout": 0.0}},
            "diffaugment changes nothing",
        ),
    ],
)  # fmt: skip
def test_what_is_given_in_vain_is_refused(options: dict[str, Any], said: str) -> None:
    generator, discriminator = (zoo.create(k, n, **o) for k, n, o in NETWORKS)
    with pytest.raises(ZooError, match=said):
        zoo.GAN(generator, discriminator, "hinge", **options)


def test_a_schedule_makes_an_augmentation_act() -> None:
    networks = [zoo.create(k, n, **o) for k, n, o in NETWORKS]
    rising = zoo.create("schedule", "linear", start=0.0, end=0.5, images=9)
    resting = {"name": "ada", "adaptive": False}
    zoo.GAN(*networks, "hinge", (), resting, schedules={"augmentation.ada.p": rising})


def test_a_setting_that_a_schedule_overrules_is_noted():
    """Not so one with which the schedule begins, after its warm-up or before, or a default."""

    def notes(r1=0.3, **options) -> list[str]:
        line = {"start": 2e-4, "end": 0.0, "images": 100, "warm_up": 10}
        schedules = {
            "lr_g": zoo.create("schedule", "linear", **line),
            "beta2": zoo.create("schedule", "constant", value=0.9),
            "ema_half_life": zoo.create("schedule", "constant", value=5.0),
            "regularizer.r1.gamma": zoo.create("schedule", "constant", value=0.3),
            "augmentation.ada.p": zoo.create("schedule", "constant", value=0.3),
        }
        parts = ({"name": "r1", "gamma": r1}, {"name": "ada", "adaptive": False})
        options = {"betas": [0.0, 0.9], "image_size": 8, "channels": 1} | options
        gan = zoo.GAN("mlp", "mlp", "bce", *parts, schedules=schedules, **options)
        return [note for note in gan.notes if "has no effect" in note]

    assert notes() == []
    assert notes(lr_g=0.01) == [
        "lr_g=0.01 has no effect, since model.schedules sets lr_g, starting at 0."
    ]
    assert notes(r1=10.0) == []
    for options, told in (
        ({"betas": [0.0, 0.99]}, ("beta2=0.99 has", "sets beta2, starting at 0.9.")),
        ({"ema_half_life": 7.0}, ("ema_half_life=7 has", "ema_half_life, starting at 5.")),
        ({"r1": 3.0}, ("regularizer.r1.gamma=3 has", "r1.gamma, starting at 0.3.")),
    ):
        (note,) = notes(**options)
        assert note.startswith(told[0])
        assert note.endswith(told[1])
