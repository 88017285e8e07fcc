"""The kinds of parts, one row each.

Hydra's groups, `task=list`, `task=new`, the sentences about choices, the contract tests and the
public decorators follow from this table: a new kind is a row here and a folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.core.errors import ZooError, listing, suggest


@dataclass(frozen=True)
class Kind:
    """What is to be known of a kind of part.

    Attributes:
        name: as in `@loss("hinge")` and `task=list kind=loss`.
        folder: below `zoo/`, where the parts that come along lie.
        group: Hydra's group of choices (`model/loss`); None where parts are named inside a setting
            of another (`model.schedules.lr_g.name`).
        base: what a made part has to be, a name in `zoo`; None for anything that can be called.
        filled: arguments that the builder fills in, so that they are no options of the part.
        several: a model takes any number of them: `'model/regularizer=[r1,lecam]'`.
        choice: how a part of a kind without a group is chosen, for `task=list`.
        section: of the configuration, where chosen parts stand under their names; they are chosen
            by kind: `+callback=NAME`.
        has_options: the base has an `__init__` of its own with arguments, so that a part which
            inherits it cannot be read from its own file alone.
        noun: what sentences call a part of the kind; empty for its name.
    """

    name: str
    folder: str
    group: str | None = None
    base: str | None = None
    filled: frozenset[str] = frozenset()
    several: bool = False
    choice: str = ""
    section: str = ""
    has_options: bool = True
    noun: str = ""

    @property
    def called(self) -> str:
        """What sentences call a part of the kind."""
        return self.noun or self.name


_NETWORK = {"image_size", "channels", "num_classes"}
_ROWS = (
    Kind(
        "generator",
        "parts/generators",
        "model/generator",
        "Generator",
        frozenset({*_NETWORK, "latent_dim"}),
    ),
    Kind(
        "discriminator",
        "parts/discriminators",
        "model/discriminator",
        "Discriminator",
        frozenset({*_NETWORK, "head", "per_sample"}),
    ),
    Kind("head", "parts/heads", "model/head", "Head", frozenset({"trunk"})),
    Kind("latent", "parts/latents", "model/latent", "Latent", frozenset({"dim"})),
    Kind("loss", "parts/losses", "model/loss", "Loss", has_options=False),
    Kind("regularizer", "parts/regularizers", "model/regularizer", "Regularizer", several=True),
    Kind(
        "augmentation",
        "parts/augmentations",
        "model/augmentation",
        "Augmentation",
        several=True,
        has_options=False,
    ),
    Kind("schedule", "parts/schedules", base="Schedule", choice="{name: NAME, OPTION: …}"),
    Kind("sampler", "parts/samplers", base="Sampler", choice="refine=NAME", has_options=False),
    Kind("datamodule", "data/sets", "datamodule", "DataModule", frozenset({"data_dir", "seed"})),
    Kind(
        "features",
        "metrics/features",
        base="Features",
        choice="features=NAME",
        has_options=False,
        noun="feature network",
    ),
    Kind(
        "metric",
        "metrics/scores",
        base="Metric",
        choice="'metrics=[NAME,{name: NAME, OPTION: …}]'",
        has_options=False,
    ),
    Kind(
        "callback",
        "training/callbacks",
        base="Callback",
        filled=frozenset({"folder"}),
        choice="+callback=NAME   callbacks.NAME.OPTION=…",
        section="callbacks",
        has_options=False,
    ),
    Kind("task", "tasks", "task", "Task", frozenset({"data_dir"}), has_options=False),
)
KINDS: dict[str, Kind] = {row.name: row for row in _ROWS}
OPTIONLESS: frozenset[str] = frozenset(
    row.base for row in _ROWS if row.base and not row.has_options
)
"""Bases whose `__init__` takes nothing."""
SECTIONS: dict[str, str] = {row.name: row.section for row in _ROWS if row.section}
"""The section of the configuration of each kind that has one."""
GROUPS: dict[str, str] = {row.name: row.group for row in _ROWS if row.group is not None}
"""Hydra's group of each kind that has one."""


def check_kind(kind: str) -> Kind:
    """The row of a kind.

    Raises:
        ZooError: there is no such kind of part.
    """
    if kind not in KINDS:
        raise ZooError(
            f"there is no kind of part called {kind!r}.{suggest(kind, KINDS)} "
            f"Choices: {listing(KINDS)}."
        )
    return KINDS[kind]
