"""Plugins: by file, by folder; broken ones, twins, and what `task=new` writes."""

from __future__ import annotations

import os
import sys

import pytest
from helpers import PLAIN

import zoo
from zoo.core.errors import ZooError
from zoo.registry import Registry
from zoo.registry.places import ROOT, plugin_folders
from zoo.registry.signature import NotReadable, from_callable
from zoo.registry.source import read_parts


def is_loaded(registry: Registry, name: str) -> bool:
    return registry.get("loss", name).module in sys.modules


def test_a_file_is_a_plugin(drop):
    registry = drop(mine=PLAIN.replace("NAME", "mine"))
    part = registry.get("loss", "mine")
    assert [str(o) for o in part.options] == ["scale: float = 2.0"]
    assert (part.summary, part.paper) == ("A loss.", "Somebody (2020), arXiv:2001.00001")
    assert part.source.endswith("extra/mine.py")
    assert not is_loaded(registry, "mine")
    assert zoo.create("loss", "mine", scale=3).scale == 3.0
    assert part.options == from_callable(part.load())


def test_a_folder_is_a_plugin_with_relative_imports_and_inheritance(drop):
    registry = drop(
        pack__base=PLAIN.replace("NAME", "pack_base"),
        pack__child="""
            from zoo import loss
            from .base import Plain

            @loss("pack_child")
            class Child(Plain):
                '''Inherits its options.'''
        """,
    )
    assert [str(o) for o in registry.get("loss", "pack_child").options] == ["scale: float = 2.0"]
    child = zoo.create("loss", "pack_child")
    assert isinstance(child, registry.get("loss", "pack_base").load())
    assert not registry.problems


def test_a_plain_file_imports_its_neighbour(drop):
    drop(
        helper="FACTOR = 4.0",
        user=PLAIN.replace("NAME", "user").replace(
            "from zoo", "from .helper import FACTOR\nfrom zoo", 1
        ),
    )
    assert zoo.create("loss", "user").scale == 2.0


@pytest.mark.parametrize(
    "text",
    [
        "from zoo import Loss, loss as register\n@register('x')\nclass X(Loss): ...",
        "import zoo\n@zoo.loss('x')\nclass X(zoo.Loss):\n def __init__(self): ...",
        "import zoo as z\n@z.loss(name='x')\nclass X:\n pass",
        "from zoo import registry\n@registry.loss('x')\nclass X:\n pass",
        "import zoo.registry as r\n@r.loss('x')\nclass X:\n pass",
        "from zoo import loss\n@loss('x')\n@loss('y')\nclass X:\n pass",
        "from zoo import loss\n@loss('x')\ndef x(scale: int = 2):\n return scale",
    ],
)
def test_every_spelling_of_a_decorator_is_read(text, tmp_path):
    (tmp_path / "x.py").write_text(text)
    parts = list(read_parts(tmp_path / "x.py", "x", "x"))
    assert ("loss", "x") in [(p.kind, p.name) for p in parts]


@pytest.mark.parametrize(
    "text",
    [
        "from zoo import *\n@loss('x')\nclass X:\n pass",
        "from zoo import loss\nfor n in 'xy':\n @loss(n)\n class X:\n  pass",
        "from zoo import loss\nclass X:\n pass\nloss('x')(X)",
        "from zoo import loss\nif True:\n @loss('x')\n class X:\n  pass",
        "from zoo import loss\nNAME = 'x'\n@loss(NAME)\nclass X:\n pass",
        "from zoo import loss\nD = 3\n@loss('x')\nclass X:\n def __init__(self, a: int = D): ...",
        "from zoo import loss\n@loss('x')\nclass X:\n def __init__(self, **options): ...",
        "from zoo import loss\n@loss('x')\n@dataclass\nclass X:\n a: int = 3",
        "from .common import loss\n@loss('x')\nclass X:\n pass",
    ],
)
def test_what_cannot_be_read_is_imported_instead(text, tmp_path):
    (tmp_path / "x.py").write_text(text)
    with pytest.raises(NotReadable):
        list(read_parts(tmp_path / "x.py", "x", "x"))


def test_parts_made_in_a_loop_are_told_apart(drop):
    registry = drop(
        loop="""
            from zoo import Loss, loss
            for factor in (1, 2, 3):
                @loss(f"loop{factor}")
                class Loop(Loss):
                    discriminator = generator = None

                    def __init__(self, scale: float = 10.0, by: int = factor) -> None:
                        self.value = scale * by
        """
    )
    targets = [registry.get("loss", f"loop{n}").target for n in (1, 2, 3)]
    assert len(set(targets)) == 3
    assert [zoo.create("loss", t).value for t in targets] == [10.0, 20.0, 30.0]


def test_a_function_can_be_a_part(drop):
    drop(
        small="""
            import zoo

            @zoo.generator("small")
            def small(image_size, channels, latent_dim, num_classes=0, width: int = 4):
                '''A narrow MLP.'''
                shape = dict(image_size=image_size, channels=channels, latent_dim=latent_dim)
                return zoo.create("generator", "mlp", **shape, width=width, depth=1)
        """
    )
    made = zoo.create("generator", "small", image_size=8, channels=1, latent_dim=3)
    assert made.layers[0].out_features == 4
    assert made._zoo_spec["name"] == "small"  # what a checkpoint rebuilds it by


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("x = 1\ndef broken(:\n", "bad.py, line 2", "SyntaxError"),
        ("from zoo import *\nimport nothing_of_this_name\n", "bad.py, line 2", "ModuleNotFound"),
        ("from zoo import *\n\n1 / 0\n", "bad.py, line 3", "ZeroDivisionError: division by zero"),
        ("from zoo import *\nraise SystemExit('bye')\n", "bad.py, line 2", "SystemExit: bye"),
    ],
)
def test_a_broken_plugin_is_named_and_the_rest_goes_on(drop, text, place, reason):
    half = "\nfrom zoo import loss\n@loss('half')\nclass Half:\n pass\n"
    registry = drop(bad=text + half, good=PLAIN.replace("NAME", "good"))
    ((where, why),) = registry.problems
    assert where.endswith(place)
    assert reason in why
    assert registry.get("loss", "good")
    with pytest.raises(ZooError, match=r"no loss 'half'.*Broken plugin .*bad\.py"):
        registry.get("loss", "half")


@pytest.mark.parametrize("end", ["import nothing_of_this_name", "raise SystemExit('bye')"])
def test_the_list_marks_what_cannot_be_imported(drop, end, tmp_path, monkeypatch, capsys):
    registry = drop(late=PLAIN.replace("NAME", "late") + end, good=PLAIN.replace("NAME", "good"))
    monkeypatch.setattr("zoo.tasks.list.REGISTRY", registry)
    zoo.create("task", "list", kind="loss", format="markdown")(tmp_path)
    table = capsys.readouterr().out.partition("\n\n")[0]
    lines = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert "BROKEN: loss 'late' cannot be used, because" in lines["late"]
    assert "late.py, line 19 cannot be imported: " in lines["late"]
    assert "| A loss. |" in lines["good"]


def test_a_plugin_that_breaks_when_selected_says_where(drop):
    registry = drop(late=PLAIN.replace("NAME", "late") + "\nimport nothing_of_this_name\n")
    assert not registry.problems
    with pytest.raises(ZooError, match=r"loss 'late' cannot be used, because .*late\.py, line \d+"):
        zoo.create("loss", "late")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("self.scale = scale", "1 / 0", r", line 12 failed: ZeroDivisionError: division by zero$"),
        ("(Loss)", "", r" returns a Plain, which must derive from zoo\.Loss\.$"),
        ("def generator", "def g", r" failed: TypeError: Can't instantiate abstract class Plain"),
    ],
)
def test_a_plugin_that_makes_no_part_of_its_kind_is_named(drop, old, new, words):
    drop(wrong=PLAIN.replace("NAME", "wrong").replace(old, new))
    with pytest.raises(ZooError, match=r"^loss 'wrong' in .*wrong\.py" + words):
        zoo.create("loss", "wrong")


def test_a_head_that_fails_inside_a_network_is_named(drop):
    drop(
        bad="""
            from zoo import Head, head

            @head("bad")
            class Bad(Head):
                def forward(self, features, y=None):
                    return features.sum(1)

                def __init__(self, trunk):
                    raise KeyError("missing")
        """
    )
    head = zoo.factory("head", "bad")
    with pytest.raises(ZooError, match=r"head 'bad' in .*bad\.py, line 10 failed: KeyError"):
        zoo.create("discriminator", "mlp", image_size=8, channels=1, head=head)


def test_two_parts_of_one_name_are_both_shown(drop):
    with pytest.raises(ZooError, match=r"two parts.*zoo\.parts\.losses\.bce\.BCE.*extra/twin\.py"):
        drop(twin=PLAIN.replace("NAME", "bce"))


def test_folders_and_files_of_one_name_are_told_apart(drop, tmp_path, monkeypatch):
    for place in ("a", "b"):
        folder = tmp_path / place / "gan" / "plugins"
        folder.mkdir(parents=True)
        (folder / "losses.py").write_text(PLAIN.replace("NAME", place) + f"    place = '{place}'\n")
    folders = [str(tmp_path / place / "gan" / "plugins") for place in ("a", "b")]
    monkeypatch.setenv("ZOO_PLUGINS", os.pathsep.join(folders))
    drop()
    assert [zoo.create("loss", name).place for name in ("a", "b")] == ["a", "b"]
    # A file beside a package of its name.
    monkeypatch.setenv("ZOO_PLUGINS", str(tmp_path / "extra"))
    drop(same=PLAIN.replace("NAME", "file"), same____init__=PLAIN.replace("NAME", "package"))
    assert zoo.create("loss", "package").scale == 2.0
    with pytest.raises(ZooError, match=r"same\.py and .*/same/__init__\.py would both be"):
        zoo.create("loss", "file")


def test_twins_made_by_import_are_shown_too(drop):
    with pytest.raises(ZooError, match=r"two parts are called loss 'twin'.*one\.py.*two\.py"):
        drop(
            one=PLAIN.replace("NAME", "twin"),
            two="from zoo import *\n" + PLAIN.replace("NAME", "twin"),
        )


def test_a_missing_plugin_folder_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_PLUGINS", f"{tmp_path}/nowhere{os.pathsep}{tmp_path}")
    assert plugin_folders() == [ROOT / "plugins", tmp_path / "nowhere", tmp_path]
    registry = Registry()
    assert registry.parts("loss")
    ((where, why),) = registry.problems
    assert where.endswith("nowhere")
    assert "is not a folder" in why


def test_tests_and_hidden_files_are_no_plugins(drop):
    registry = drop(
        test_mine=PLAIN.replace("NAME", "a"), _mine=PLAIN.replace("NAME", "b"), conftest="1 / 0"
    )
    assert not {"a", "b"} & {p.name for p in registry.parts("loss")}
    assert not registry.problems


def test_a_feature_network_of_a_plugin_measures(drop, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    drop(
        sums="""
            import torch
            from zoo import Features, features

            @features("sums")
            class Sums(Features):
                def __init__(self, power: int = 1):
                    super().__init__()
                    self.name, self.resizer, self.power = "sums", "none", power
                    self.register_buffer("one", torch.ones(1))
                    self.freeze()

                def forward(self, images):
                    total = (images.sum(dim=(2, 3)) * self.one) ** self.power
                    return total.repeat(1, 2), None
        """
    )
    import torch

    from zoo.data.pixels import to_uint8
    from zoo.metrics.comparison import Reference
    from zoo.metrics.evaluate import evaluate

    images = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1)
    result = evaluate(
        lambda n, labels: torch.zeros(n, 1, 1, 1),
        Reference("eight", "test", images),
        conditional=False,
        metrics=["fid"],
        features="sums",
        n=8,
        progress=False,
    )
    assert result.protocol.features == "sums"
    # in both columns: constant gray against the mean 3.5 and the variance 6 of 0 to 7
    gray = to_uint8(torch.zeros(1)).item()
    assert result.figures["fid"] == pytest.approx(2 * ((gray - 3.5) ** 2 + 6), rel=1e-3)
    with pytest.raises(ZooError, match="feature network 'sums' has no option 'powr'"):
        zoo.create("features", "sums", powr=2)


def test_a_metric_of_a_plugin_is_measured(drop, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    drop(
        spread="""
            from zoo import Metric, metric

            @metric("spread")
            class Spread(Metric):
                higher_is_better = ("spread",)

                def __init__(self, factor: float = 1.0):
                    self.factor = factor

                @classmethod
                def suits(cls, network, reference, conditional):
                    return reference.dataset == "eight"

                def __call__(self, data):
                    return {"spread": self.factor * data.reference_vectors.std().item()}
        """
    )
    import torch

    from zoo.metrics.choice import default_metrics
    from zoo.metrics.comparison import Reference
    from zoo.metrics.evaluate import evaluate
    from zoo.metrics.features.base import create_features

    images = torch.zeros(8, 2, 1, 1)
    images[4:] = 1
    reference = Reference("eight", "train", images)
    network = create_features("points")
    assert default_metrics(network, reference, False)[-1] == "spread"
    result = evaluate(
        lambda n, labels: torch.zeros(n, 2, 1, 1),
        reference,
        conditional=False,
        metrics=["fid", {"name": "spread", "factor": 2}],
        features=network,
        n=8,
        progress=False,
    )
    assert result.figures["spread"] == pytest.approx(2 * images.std().item())
    assert result.protocol.settings == {"fid": "", "spread": "spread factor=2.0"}
    assert "spread ↑" in result.table()


@pytest.mark.parametrize(
    ("kind", "base", "body", "wrong", "right"),
    [
        ("regularizer", "Regularizer", "def latent(self, z, y): ...", "latent", "latents"),
        ("discriminator", "Discriminator", "def stage(self): ...", "stage", "stages"),
        ("regularizer", "Regularizer", "def after_updates(): ...", "after_updates", "after_update"),
        ("regularizer", "Regularizer", "def weight(self, update): ...", "weight", "weights"),
        ("regularizer", "Regularizer", "def setups(self, g, d): ...", "setups", "setup"),
        ("regularizer", "Regularizer", "side = ('generator',)", "side", "sides"),
        ("regularizer", "Regularizer", "per_samples: bool = True", "per_samples", "per_sample"),
        ("augmentation", "Augmentation", "def observes(self, u): ...", "observes", "observe"),
        ("head", "Head", "def output(self, features): ...", "output", "outputs"),
        ("generator", "Generator", "def synthesise(self, w): ...", "synthesise", "synthesize"),
        ("metric", "Metric", "def setting(self): ...", "setting", "settings"),
    ],
)  # fmt: skip
def test_a_misspelt_hook_is_told_when_the_part_is_made(drop, kind, base, body, wrong, right):
    source = f"import zoo\n@zoo.{kind}('nearly')\nclass Nearly(zoo.{base}):\n    {body}\n"
    with pytest.warns(UserWarning, match=f"{kind} 'nearly'") as told:
        drop(nearly=source).get(kind, "nearly").load()
    (sentence,) = [str(w.message) for w in told]
    assert f"extra/nearly.py) has {wrong!r}, which is never used: did you mean {right!r}?" in (
        sentence
    )


def test_helpers_and_hooks_of_other_bases_are_not_taken_for_misspelt_ones(drop, recwarn):
    registry = drop(
        helped="""
            import zoo
            from zoo.parts.regularizers.r1 import R1

            class Shared(R1):
                def strength(self): ...

            @zoo.regularizer("helped")
            class Helped(Shared):
                weight: float = 1.0
                def _weight(self): ...
                def after_update(self, network): ...
                def state_dict(self): ...
        """
    )
    registry.get("regularizer", "helped").load()
    assert not recwarn.list
