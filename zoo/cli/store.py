"""Register all parts as Hydra config groups: `model/generator=dcgan`, `task=sample`, and so on.

Every part becomes a config node with its `_target_` and its defaults. The nodes hold plain values,
which can be pickled, printed and stored. The registry checks values against a part's signature
(`zoo.registry.signature.bind`) in the same way for YAML, the command line and the Python API.
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
"""Top-level keys of the configuration, which no option of a task may use as its name."""


class PluginConfigs(SearchPathPlugin):
    """Add the folder `configs/` of every plugin folder, so that plugins can bring experiments."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folders to Hydra's search path."""
        for folder in plugin_folders():
            if (folder / "configs").is_dir():
                search_path.append("zoo-plugins", f"file://{folder / 'configs'}")


def node_of(part: Part) -> dict[str, Any]:
    """Return the config node of a part: its `_target_` and its options, `???` if required."""
    options = {p.name: "???" if p.required else _plain(p.default) for p in part.options}
    if part.kind == "task":  # tasks are the program's own options: `task=sample n=64 label=5`
        return {"task": {"_target_": part.target, "name": part.name}, **options}
    return {"_target_": part.target, **options}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def store_parts() -> None:
    """Add all parts to Hydra's config store; call this once before composing a configuration."""
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
    """Return the sorted names of all experiments, including those of plugins."""
    folders = [config_dir, *(f / "configs" for f in plugin_folders())]
    return sorted(p.stem for f in folders for p in (f / "experiment").glob("*.yaml"))
