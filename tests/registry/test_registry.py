"""The registry: what is read from source is what the live class has, and nothing else is made."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, Literal

import pytest

import zoo
from zoo.cli.store import RESERVED
from zoo.core.errors import ZooError
from zoo.registry import KINDS, REGISTRY, Part, Registry, spec_of
from zoo.registry.places import ROOT
from zoo.registry.signature import Parameter, bind, convert, from_callable, type_name
from zoo.tasks.list import markdown_table, readme_table, text_table

PARTS = REGISTRY.parts()
every_part = pytest.mark.parametrize("part", PARTS, ids=[f"{p.kind}-{p.name}" for p in PARTS])


@every_part
def test_signature_read_from_source_is_that_of_the_live_class(part: Part):
    filled = KINDS[part.kind].filled
    live = from_callable(part.load())
    assert [p.name for p in part.parameters] == [p.name for p in live]
    for read, real in zip(part.parameters, live, strict=True):
        if read.name in filled:
            assert read.required == real.required
            continue
        assert read.default == real.default
        assert read.type == real.type, f"{read} is {real}"


@pytest.mark.parametrize("row", [r for r in KINDS.values() if r.base], ids=lambda row: row.name)
def test_the_table_says_which_bases_take_arguments(row):
    taken = inspect.signature(getattr(zoo, row.base)).parameters.values()
    named = [p for p in taken if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert bool(named) == row.has_options


@every_part
def test_options_are_complete(part: Part):
    """Typed, and with a default unless a task cannot do without."""
    for option in part.options:
        assert option.type is not Any, f"{option.name} has no type"
        assert part.kind in ("task", "schedule") or not option.required
        if not option.required:
            convert(option.default, option.type, option.name)
    assert part.summary.endswith(".")
    assert "arXiv:0000" not in part.paper


@every_part
def test_docstring_names_every_option(part: Part):
    doc = "".join(c.__doc__ or "" for c in part.load().__mro__)  # data modules: in their base
    for option in part.options:
        assert option.name in doc, f"{option.name} is not in the docstring"


@pytest.mark.parametrize("part", [p for p in PARTS if p.kind == "task"], ids=lambda p: p.name)
def test_no_task_has_an_option_that_is_a_section_of_the_configuration(part: Part):
    assert not RESERVED & {o.name for o in part.options}


def test_parts_are_found_without_importing_them():
    code = (
        "import sys, zoo; from zoo.registry import REGISTRY;"
        "n = sum(p.source == 'zoo' for p in REGISTRY.parts());"
        "from zoo.tasks.list import readme_table; readme_table();"
        "heavy = {'torch', 'pytorch_lightning', 'timm', 'hydra', 'matplotlib'} & set(sys.modules);"
        "print(n, sorted(heavy - {'hydra'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(sum(p.source == "zoo" for p in PARTS)), "[]"]


def test_importing_zoo_imports_nothing_heavy():
    code = "import sys, zoo; print([m for m in ('torch', 'hydra', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names_exist():
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert set(zoo.__all__) <= set(dir(zoo))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = zoo.nothing


def test_create_by_name_and_by_target():
    by_name = zoo.create("loss", "hinge", margin=2)
    by_target = zoo.create("loss", "zoo.parts.losses.hinge.Hinge", margin=2.0)
    assert type(by_name) is type(by_target)
    assert spec_of(by_name) == spec_of(by_target) == {"name": "hinge", "options": {"margin": 2.0}}
    assert zoo.list_parts("loss") == sorted(zoo.list_parts("loss"))


def test_factory_checks_now_and_makes_later():
    make = zoo.factory("generator", "mlp", width=8)
    made = make(image_size=8, channels=1, latent_dim=4)
    assert made.layers[0].out_features == 8
    with pytest.raises(ZooError, match=r"no option 'widht'. Did you mean 'width'\?"):
        zoo.factory("generator", "mlp", widht=8)


@pytest.mark.parametrize(
    ("kind", "name", "options", "words"),
    [
        ("los", "bce", {}, "no kind of part called 'los'. Did you mean 'loss'?"),
        ("loss", "hing", {}, "no loss 'hing'. Did you mean 'hinge'? Choices: afm, bce, "),
        (
            "loss",
            "os.system",
            {},
            "'os.system' is not a registered loss, so it is not instantiated",
        ),
        ("loss", "hinge", {"margn": 1}, "no option 'margn'. Did you mean 'margin'?"),
        ("loss", "hinge", {"margin": "wide"}, "loss 'hinge': margin=wide is not a number."),
        ("generator", "mlp", {}, "generator 'mlp' needs image_size, channels, latent_dim."),
    ],
)
def test_wrong_input_is_told_with_the_choices(kind, name, options, words):
    with pytest.raises(ZooError) as caught:
        zoo.create(kind, name, **options)
    assert words in str(caught.value)


SHAPE = {"image_size": 16, "channels": 1}


@pytest.mark.parametrize(
    ("kind", "name", "option", "wrong", "words"),
    [
        *(("generator", n, "base_channels", 0, "1 or more") for n in ("dcgan", "resnet")),
        *(("discriminator", n, "base_channels", 0, "1 or more") for n in ("dcgan", "resnet")),
        *(("discriminator", n, "base_channels", 0, "1 or more") for n in ("sn_cnn", "projection")),
        ("discriminator", "timm", "input_size", 0, "1 or more"),
        *((kind, "mlp", "width", 0, "1 or more") for kind in ("generator", "discriminator")),
        *((kind, "mlp", "depth", -1, "0 or more") for kind in ("generator", "discriminator")),
        ("generator", "mlp", "latent_dim", 0, "1 or more"),
        ("loss", "hinge", "margin", 0.0, "above 0"),
        ("loss", "wgan", "clip", 0.0, "above 0"),
        ("loss", "wgan_gp", "penalty", -5.0, "0 or more"),
        *(("regularizer", n, "gamma", -1.0, "0 or more") for n in ("r1", "r2")),
        *(("regularizer", "dragan", o, -1.0, "0 or more") for o in ("penalty", "strength")),
        ("regularizer", "gradient_penalty", "center", -1.0, "0 or more"),
        ("regularizer", "gradient_penalty", "penalty", float("nan"), "0 or more"),
        ("regularizer", "lecam", "weight", -1.0, "0 or more"),
        ("regularizer", "lecam", "decay", 1.0, "0 or more and below 1"),
        ("regularizer", "weight_clipping", "clip", 0.0, "above 0"),
    ],
)
def test_senseless_numbers_are_refused_by_the_option(kind, name, option, wrong, words):
    filled = {"generator": {**SHAPE, "latent_dim": 4}, "discriminator": {**SHAPE, "num_classes": 2}}
    with pytest.raises(ZooError, match=rf"{option}={wrong} must be {words}\.$"):
        zoo.create(kind, name, **{**filled.get(kind, {}), option: wrong})


def test_a_part_defined_in_a_session_is_selectable_and_can_be_redefined(monkeypatch):
    monkeypatch.setattr("zoo.registry.registry.REGISTRY", Registry())

    cell = """
@zoo.loss("session")
class Session(zoo.Loss):
    def __init__(self, SCALE: float = 1.0) -> None:
        self.scale = SCALE
    def discriminator(self, real, fake):
        return fake - real
    def generator(self, fake, real=None):
        return -fake
"""
    namespace = {"__name__": "__main__", "zoo": zoo}
    exec(cell, namespace)
    assert zoo.create("loss", "session").scale == 1.0
    exec(cell.replace("SCALE", "factor"), namespace)
    assert zoo.create("loss", "session", factor=3).scale == 3.0


@pytest.mark.parametrize(
    ("value", "kind", "want"),
    [
        (3, int, 3),
        (3, float, 3.0),
        ("1e-4", float, 1e-4),
        (5, str, "5"),
        (True, bool, True),
        ("a", Literal["a", "b"], "a"),
        (None, int | None, None),
        (2, float | None, 2.0),
        ((1, 2), list[float], [1.0, 2.0]),
        ([1, "x"], list[int | str], [1, "x"]),
        ("0-3", int | str | list[int], "0-3"),
        (7, int | str, 7),
        ({"a": 1}, Any, {"a": 1}),
    ],
)
def test_values_that_fit(value, kind, want):
    got = convert(value, kind, "here")
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("3", int, "here=3 is not an integer."),
        (3.5, int, "here=3.5 is not an integer."),
        (True, int, "here=True is not an integer."),
        (True, float, "here=True is not a number."),
        (1, bool, "here=1 is not true or false."),
        ("yes", bool, "here=yes is not true or false."),
        (True, str, "here=True is not a string."),
        (None, str, "here=null is not a string."),
        ("bath", Literal["batch", "none"], "not one of batch, none. Did you mean 'batch'?"),
        ("x", int | None, "here=x is not an integer or null."),
        ([1, "x"], list[int], "here[1]=x is not an integer."),
        (3, list[int], "here=3 is not a list of int."),
        ("c", Literal["a", "b"] | None, "here=c is not one of a, b or null."),
    ],
)
def test_values_that_do_not_fit(value, kind, words):
    with pytest.raises(ZooError) as caught:
        convert(value, kind, "here")
    assert words in str(caught.value)


def test_types_as_a_user_reads_them():
    assert str(Parameter("n", int, 3)) == "n: int = 3"
    assert type_name(Literal["a", "b"] | None) == "a|b or null"
    assert type_name(list[int | str]) == "list[int or str]"
    with pytest.raises(ZooError, match="needs n"):
        bind((Parameter("n", int),), {}, "part")


def test_no_option_is_told_as_unknown_where_any_may_be():
    """What is wrong is the name, which `create` takes by its place."""
    with pytest.raises(ZooError, match=r"'name'.* It takes: kind, name, /, \*\*options"):
        zoo.create("loss", name="hinge", margin=2.0)


def test_tables_show_every_part():
    text, markdown = text_table(PARTS, 100), markdown_table(PARTS)
    assert max(map(len, text.splitlines())) <= 100
    for part in PARTS:
        assert f"  {part.name} " in text
        assert f"| {part.kind} | `{part.name}` | " in markdown
        for option in part.options:
            assert f"{option.name}:" in text
    for kind in KINDS:
        assert kind.upper() in text
    assert "[arXiv:1511.06434](https://arxiv.org/abs/1511.06434)" in markdown
    assert "ralsgan" in markdown
    assert "ralsgan" not in readme_table()  # plugins come and go; README shows the zoo
    assert len({line.count(" | ") for line in readme_table().splitlines()[2:]}) == 1
