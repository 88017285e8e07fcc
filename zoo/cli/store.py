"""Parts as Hydra config groups: `model/generator=dcgan`, `task=sample`, `datamodule=mnist`.

Every part becomes a config node made of its `_target_` and its defaults. Values are checked by the
registry against the signature (`zoo.registry.signature.bind`), the same for YAML, the command line
and the Python API, so the nodes are plain and can be pickled, printed and stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from zoo.cli.hydra_internals import share_config_store
from zoo.cli.program import program
from zoo.registry import REGISTRY, Part
from zoo.registry.kinds import KINDS
from zoo.registry.places import CONFIGS, plugin_folders
from zoo.training.options import model_parameters

__all__ = ["CONFIGS", "PluginConfigs", "experiments", "node_of", "store_parts"]

RESERVED = frozenset(
    {"task", "datamodule", "model", "trainer", "logger", "callbacks", "experiment",
     "hparams_search", "hydra", "debug", "task_name", "tags"}
)  # fmt: skip
"""Top-level names of the configuration, which no option of a task can have."""


class PluginConfigs(SearchPathPlugin):
    """Adds the folder `configs/` of every plugin folder, so that they bring experiments."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in plugin_folders():
            if (folder / "configs").is_dir():
                search_path.append("zoo-plugins", f"file://{folder / 'configs'}")


def node_of(part: Part) -> dict[str, Any]:
    """The config node of a part: `_target_` and its options, `???` where one is required."""
    options = {p.name: "???" if p.required else _plain(p.default) for p in part.options}
    if part.kind == "task":  # tasks are the program's own options: `task=sample n=64 label=5`
        return {"task": {"_target_": part.target, "name": part.name}, **options}
    return {"_target_": part.target, **options}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def store_parts() -> None:
    """Hand all parts to Hydra; call it once before composing."""
    OmegaConf.register_new_resolver("program", program, replace=True)  # for the text of --help
    store = ConfigStore.instance()
    share_config_store()
    for part in REGISTRY.parts():
        row = KINDS[part.kind]
        if row.section:
            place = f"{row.section}.{part.name}"
            store.store(group=row.name, name=part.name, node=node_of(part), package=place)
        if row.group is None:
            continue
        taken = RESERVED & {p.name for p in part.options} if part.kind == "task" else ()
        if taken:
            reason = f"{part.kind} {part.name!r} has the option {min(taken)!r}, which is a section"
            REGISTRY.problems.append((str(part.file), f"{reason} of the configuration"))
            continue
        package = row.group.replace("/", ".")
        if part.kind == "task":
            package = "_global_"
        elif row.several:
            package = f"{package}.{part.name}"
        store.store(group=row.group, name=part.name, node=node_of(part), package=package)
    options = {p.name: _plain(p.default) for p in model_parameters()}
    store.store(group="model", name="options", node=options)
    if PluginConfigs not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(PluginConfigs)


def experiments(config_dir: Path) -> list[str]:
    """Names of all experiments, those of plugins included."""
    folders = [config_dir, *(f / "configs" for f in plugin_folders())]
    return sorted(p.stem for f in folders for p in (f / "experiment").glob("*.yaml"))
