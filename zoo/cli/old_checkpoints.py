"""Read the settings of checkpoints written before version 0.2, which hold overrides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from zoo.cli.grammar import key_of, override_parser
from zoo.cli.replay import is_group
from zoo.cli.settings import settings_of
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError


def old_values(saved: Any, given: list[str], file: Path) -> dict[str, Any]:
    """Convert the overrides in an old checkpoint to settings, as `settings_of` returns them.

    Args:
        saved: the overrides in the checkpoint, which may come from anybody.
        given: the user's overrides on the command line, which are trusted.
        file: the checkpoint, for error messages.

    Raises:
        ZooError: an override is not one that a training saves.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    from zoo.cli.sentences import composition_sentence

    if not isinstance(saved, list) or not all(isinstance(o, str) for o in saved):
        raise ZooError(f"{file} has overrides in its description that are not a list of strings.")
    accepted = []
    for text in saved:
        refused = ZooError(
            f"{file} asks for {text!r}, which no training of this zoo writes down and which could "
            "run arbitrary code, so it is not resumed."
        )
        key = key_of(text)
        parts = re.findall(r"\w+", key)
        if "hydra" in parts or "@" in key or "${" in text or text.lstrip().startswith("-"):
            raise refused
        if parts[:1] == ["task"] or key in ("resume", "ckpt", "hparams_search", "debug"):
            continue
        if text == "model.channels_last=null":  # how older versions wrote the default
            continue
        if text in given:
            continue
        if "_target_" in text:
            raise ZooError(
                f"{file} asks for {text!r}, which names code to run: if you trust it, add this "
                "override to the command."
            )
        try:
            parsed = override_parser().parse_override(text)
        except HydraException:
            raise refused from None
        if is_group(key) and not text.startswith("~"):
            names = parsed.value()
            for name in names if isinstance(names, list) else [names]:
                if name is not None and not re.fullmatch(r"[\w-]+", str(name)):
                    raise refused
        accepted.append(text)
    store_parts()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        try:
            config = compose("config", overrides=accepted)
            plain = OmegaConf.to_container(config, resolve=True)
        except HydraException as error:
            raise ZooError(f"{file}: {composition_sentence(error, accepted, CONFIGS)}") from error
    assert isinstance(plain, dict)
    return settings_of({str(k): v for k, v in plain.items()})["values"]
