"""The table of the kinds of parts.

Hydra's groups, `task=list`, `task=new`, the error messages that list choices, the contract tests
and the public decorators all follow from this table. A new kind needs a row here and a folder.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.core.errors import ZooError, listing, suggest


@dataclass(frozen=True)
class Kind:
    """A kind of part.

    Attributes:
        name: the kind's name, as in `@loss("hinge")` and `task=list kind=loss`.
        folder: the folder below `zoo/` with the zoo's own parts of this kind.
        group: Hydra's group of choices (`model/loss`); None for parts that are named in another
            setting (`model.schedules.lr_g.name`).
        base: the class, by its name in `zoo`, from which the parts must derive; None if any
            callable is allowed.
        filled: parameters that the builder supplies, and which are therefore not options.
        several: whether a model takes any number of them: `'model/regularizer=[r1,lecam]'`.
        choice: how a part of a kind without a group is chosen, as `task=list` shows it.
        section: the section of the configuration that holds the chosen parts by name; they are
            chosen with the kind's name: `+callback=NAME`. Empty for other kinds.
        has_options: whether the base has an `__init__` with arguments, in which case a part that
            inherits it cannot be read from its own file alone.
        noun: what messages call a part of this kind; empty if that is the kind's name.
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
        """What messages call a part of this kind."""
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
"""Base classes whose `__init__` takes no arguments."""
SECTIONS: dict[str, str] = {row.name: row.section for row in _ROWS if row.section}
"""The section of the configuration by kind, for the kinds that have one."""
GROUPS: dict[str, str] = {row.name: row.group for row in _ROWS if row.group is not None}
"""Hydra's group by kind, for the kinds that have one."""


def check_kind(kind: str) -> Kind:
    """Return the kind with a given name.

    Raises:
        ZooError: there is no such kind of part.
    """
    if kind not in KINDS:
        raise ZooError(
            f"there is no kind of part called {kind!r}.{suggest(kind, KINDS)} "
            f"Choices: {listing(KINDS)}."
        )
    return KINDS[kind]
