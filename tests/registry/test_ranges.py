"""Ranges of options: read from the source, shown, and held wherever a part is made."""

from __future__ import annotations

import ast
import inspect
import math
import subprocess
import sys
from numbers import Real
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import pytest

import zoo
from zoo.core.errors import OutOfRange, Range, ZooError
from zoo.registry import (
    REGISTRY,
    above,
    at_least,
    at_most,
    below,
    between,
    idle_beside,
    idle_when,
)
from zoo.registry.annotations import (
    NotReadable,
    has_choices,
    has_ranges,
    ranges_of,
    read_annotation,
    type_name,
    vocabulary,
)
from zoo.registry.places import ROOT, ZOO
from zoo.registry.signature import check_inside, convert
from zoo.tasks.list import model_options, text_table
from zoo.training.options import model_parameters

RANGED = [(p, o) for p in REGISTRY.parts() for o in p.options if has_ranges(o.type)]


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("Annotated[int, at_least(1)]", Annotated[int, at_least(1)], "int >= 1"),
        ("Annotated[int, above(-2)] | None", Annotated[int, above(-2)] | None, "int > -2 or null"),
        (
            "Annotated[float, at_least(0), below(1)]",
            Annotated[float, at_least(0), below(1)],
            "float >= 0, < 1",
        ),
        (
            "list[Annotated[float, between(0, 1.5)]]",
            list[Annotated[float, between(0, 1.5)]],
            "list[float from 0 to 1.5]",
        ),
        (
            "dict[str, Annotated[float, at_least(0)]]",
            dict[str, Annotated[float, at_least(0)]],
            "dict[str, float >= 0]",
        ),
        ("Annotated[int, at_most(3)]", Annotated[int, at_most(3)], "int <= 3"),
        ("'Annotated[int, at_most(3)]'", Annotated[int, at_most(3)], "int <= 3"),
        (
            "Annotated[int, at_least(1), idle_when(form='ratio', a=None), idle_beside('b')]",
            Annotated[int, at_least(1), idle_when(form="ratio", a=None), idle_beside("b")],
            "int >= 1",
        ),
        (
            "Annotated[Literal['a', 'b'], idle_when(on=False)]",
            Annotated[Literal["a", "b"], idle_when(on=False)],
            "a|b",
        ),
        ("Literal['a', 2, None]", Literal["a", 2, None], "a|2|None"),
        (
            "int | str | list[int | str]",
            int | str | list[int | str],
            "int or str or list[int or str]",
        ),
        ("Optional[int]", Optional[int], "int or null"),  # noqa: UP045
        ("Union[int, dict[str, Any]]", Union[int, dict[str, Any]], "int or dict[str, any]"),  # noqa: UP007
        ("tuple[int, ...]", tuple[int, ...], "tuple[int]"),
    ],
)
def test_an_annotation_is_read_as_python_reads_it(text: str, kind: Any, shown: str):
    read = read_annotation(ast.parse(text, mode="eval").body, vocabulary(ast.parse("")))
    assert read == kind
    assert type_name(read) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Size",
        "typing.Any",
        "Annotated[int, at_least(LEAST)]",
        "Annotated[int, at_least(bound=1)]",
        "Annotated[int, idle_when(form=LEAST)]",
        "Annotated[int, print('run')]",
        "Annotated[int, __import__('os').system('true')]",
        "[print('run')][0]",
        "int if print('run') else str",
        "'not a type'",
    ],
)
def test_what_is_outside_of_the_vocabulary_is_not_read_and_not_run(text: str, capsys):
    with pytest.raises(NotReadable):
        read_annotation(ast.parse(text, mode="eval").body, vocabulary(ast.parse("")))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "source",
    [
        "def between(update): ...",
        "from zoo.parts.regularizers.gradient_penalty import between",
        "from zoo.registry import at_least as between",
        "between = 3",
    ],
)
def test_a_name_that_the_file_has_made_its_own_is_no_range(source: str):
    assert "between" not in vocabulary(ast.parse(source))
    assert "between" in vocabulary(ast.parse("from zoo.registry import between"))


def test_nothing_in_the_zoo_evaluates_text():
    for file in ZOO.rglob("*.py"):
        calls = [n for n in ast.walk(ast.parse(file.read_bytes())) if isinstance(n, ast.Call)]
        names = {c.func.id for c in calls if isinstance(c.func, ast.Name)}
        assert not names & {"eval", "exec", "compile", "get_type_hints"}, file


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        (at_least(1), (1, 2.5, math.inf, None), (0.999, -1, math.nan)),
        (above(0), (1e-30, math.inf, None), (0, -0.0, -1, math.nan)),
        (at_most(1), (1, -math.inf), (1.001, math.inf, math.nan)),
        (below(1), (0.999, -math.inf), (1, 2, math.nan)),
        (between(0, 1), (0, 0.5, 1), (-0.1, 1.1, math.nan)),
    ],
)
def test_the_ends_of_ranges(kind: Range, inside, outside):
    assert all(value in kind for value in inside)
    assert not any(value in kind for value in outside)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (0, Annotated[int, at_least(1)], "here=0 must be 1 or more."),
        (0, Annotated[int, at_least(1)] | None, "here=0 must be 1 or more."),
        (1.0, Annotated[float, at_least(0), below(1)], "here=1.0 must be 0 or more and below 1."),
        ("1e9", Annotated[float, between(0, 1)], "here=1000000000.0 must be from 0 to 1."),
        ([2, 1], list[Annotated[int, above(1)]], "here[1]=1 must be above 1."),
        (-1, Annotated[int, at_least(0)] | Literal["auto"], "here=-1 must be 0 or more."),
        (1.5, Annotated[int, at_least(1)], "here=1.5 is not an integer."),
        ("x", Annotated[int, at_least(1)] | None, "here=x is not an integer or null."),
    ],
)
def test_a_value_outside_is_told_with_its_range(value, kind, words):
    with pytest.raises(ZooError) as caught:
        convert(value, kind, "here")
    assert str(caught.value) == words


def test_what_fits_passes_and_a_tensor_of_a_schedule_does():
    import torch

    assert convert(None, Annotated[int, at_least(1)] | None, "here") is None
    assert convert("auto", Annotated[int, at_least(0)] | Literal["auto"], "here") == "auto"
    check_inside(torch.tensor(-1.0), Annotated[float, at_least(0)], "here")


def outside(kind: Any) -> Any:
    """A value of the type that its ranges leave out."""
    if get_origin(kind) is Annotated:
        plain, ranges = ranges_of(kind)
        low = min((r.least for r in ranges if r.least > -math.inf), default=None)
        return plain(low - 1 if low is not None else max(r.most for r in ranges) + 1)
    inner = next(a for a in get_args(kind) if has_ranges(a))
    made = {list: lambda: [outside(inner)], dict: lambda: {"hue": outside(inner)}}
    return made.get(get_origin(kind), lambda: outside(inner))()


def item_of(value: Any) -> Any:
    """The one item of a list or mapping; another value itself."""
    if isinstance(value, dict):
        return value["hue"]
    return value[0] if isinstance(value, list) else value


def required_by(live):
    """None for each argument without a default, in which nothing is looked at."""
    parameters = inspect.signature(live).parameters.items()
    return {name: None for name, p in parameters if p.default is p.empty}


@pytest.mark.parametrize(
    ("part", "option"), RANGED, ids=[f"{p.kind}-{p.name}-{o.name}" for p, o in RANGED]
)
def test_every_range_holds_by_name_and_by_class(part, option):
    """Made by the registry or by its class, in which nothing else is looked at before."""
    live = part.load()
    required = required_by(live)
    value = outside(option.type)
    item = item_of(value)
    assert isinstance(item, Real)
    words = rf"{option.name}(\[0\]|\.hue)?={item} must be "
    with pytest.raises(OutOfRange, match=words):
        live(**{**required, option.name: value})
    with pytest.raises(OutOfRange, match=words):
        zoo.factory(part.kind, part.name, **{option.name: value})


OWN = [o for o in model_parameters() if has_ranges(o.type)]


@pytest.mark.parametrize("option", OWN, ids=[o.name for o in OWN])
def test_every_range_of_the_model_holds(option):
    value = outside(option.type)
    item = item_of(value)
    with pytest.raises(OutOfRange, match=rf"^model\.{option.name}(\[0\])?={item} must be "):
        zoo.GAN("mlp", "mlp", "bce", image_size=8, channels=1, **{option.name: value})


CHOSEN = [(p, o) for p in REGISTRY.parts() for o in p.options if has_choices(o.type)]


@pytest.mark.parametrize(
    ("part", "option"), CHOSEN, ids=[f"{p.kind}-{p.name}-{o.name}" for p, o in CHOSEN]
)
def test_words_that_are_no_choice_are_refused_by_the_class_as_by_the_registry(part, option):
    live = part.load()
    required = required_by(live)
    with pytest.raises(ZooError, match=rf"{option.name}=nonsense is not (one of|true|an integer)"):
        live(**{**required, option.name: "nonsense"})
    with pytest.raises(ZooError, match=rf"{option.name}=nonsense is not (one of|true|an integer)"):
        zoo.factory(part.kind, part.name, **{option.name: "nonsense"})


BOUNDLESS = {"loss-lsgan", "schedule-constant", "schedule-cosine", "schedule-linear"}
"""Parts with numbers that may be any: targets of a square, ends of a schedule."""


def test_every_number_of_the_zoo_has_a_range():
    parts = [p for p in REGISTRY.parts() if p.source == "zoo"]  # and not what other tests made
    options = [(f"{p.kind}-{p.name}", o) for p in parts for o in p.options]
    options += [("model", o) for o in model_parameters()]
    plain = {int, float, int | None, float | None}
    found = {
        f"{name}.{o.name}"
        for name, o in options
        if o.type in plain and o.name != "seed" and name not in BOUNDLESS
    }
    assert found == set()


def test_ranges_are_listed():
    assert "d_steps: int >= 1 = 1" in model_options()
    table = text_table(REGISTRY.parts("generator"))
    assert "base_channels: int >= 1 = 64" in table
    assert "weight: float >= 0 = 0.3" in text_table(REGISTRY.parts("regularizer"))


def test_the_command_line_is_held_to_ranges_before_torch_is_imported():
    code = (
        "import sys; from zoo.cli.main import main\n"
        "sys.argv = ['run.py', 'model/loss=hinge', 'model.loss.margin=0']\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == "error: model.loss.margin=0.0 must be above 0.\n"
    assert done.stdout == "1 False\n"


PLUGIN = """
    from typing import Annotated
    from zoo import Loss, above, loss

    @loss("ranged")
    class Ranged(Loss):
        '''A loss.'''

        def __init__(self, scale: Annotated[float, above(LEAST)] = 1.0) -> None:
            self.scale = scale

        def discriminator(self, real, fake):
            return fake - real

        def generator(self, fake, real=None):
            return -fake
"""


@pytest.mark.parametrize("least", ["0", "LEAST"])
def test_a_plugin_has_ranges_also_where_its_file_has_to_be_imported(drop, least: str):
    text = PLUGIN.replace("above(LEAST)", f"above({least})")
    registry = drop(ranged=text.replace("from typing", "LEAST = 0\n    from typing", 1))
    part = registry.get("loss", "ranged")
    assert [str(o) for o in part.options] == ["scale: float > 0 = 1.0"]
    with pytest.raises(ZooError, match=r"loss 'ranged': scale=0.0 must be above 0\.$"):
        zoo.create("loss", "ranged", scale=0)
    with pytest.raises(ZooError, match=r"^loss ranged: scale=-1 must be above 0\.$"):
        part.load()(scale=-1)


def test_a_subclass_is_held_to_its_own_ranges_and_its_bases(drop):
    registry = drop(
        ranged=PLUGIN.replace("LEAST", "0")
        + """
    @loss("narrower")
    class Narrower(Ranged):
        '''Another.'''

        def __init__(self, scale: Annotated[float, above(-1)] = 1.0) -> None:
            super().__init__(scale)

    @loss("heir")
    class Heir(Ranged):
        '''With the options of its base.'''
"""
    )
    narrower, heir = (registry.get("loss", name).load() for name in ("narrower", "heir"))
    for cls, scale, words in (
        (narrower, -1, "loss narrower: scale=-1 must be above -1."),
        (narrower, -0.5, "loss ranged: scale=-0.5 must be above 0."),
        (heir, 0, "loss ranged: scale=0 must be above 0."),
    ):
        with pytest.raises(ZooError) as caught:
            cls(scale)
        assert str(caught.value) == words
    assert heir(2).scale == 2
