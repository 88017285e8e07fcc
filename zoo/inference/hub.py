"""Fetching trained generators from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.core.errors import ZooError
from zoo.core.extras import require
from zoo.core.network import reachable
from zoo.inference.files import WEIGHTS_NAME

_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")

UNREACHABLE = "the Hugging Face hub cannot be reached from here"

_NEXT = "zoo.load takes a local folder or file just as well"


def check_name(name: str) -> str:
    """Refuse what is no name of the hub, `owner/name`."""
    if not _NAME.fullmatch(name):
        raise ZooError(f"{name!r} is no name of the hub: it must be owner/name.")
    return name


def fetch(name: str) -> Path:
    """The weights' file of the hub's model `owner/name` (or `owner/name@revision`), downloaded.

    What has been downloaded once is found again without a network.

    Raises:
        ZooError: no such model, a model of something else, or no way to the hub.
    """
    name, _, revision = name.partition("@")
    check_name(name)
    require("hub", f"hf:{name}", "huggingface_hub")
    from huggingface_hub import constants, hf_hub_download

    try:
        # Asked first: the client would retry for half a minute.
        away = constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT)
        file = hf_hub_download(name, WEIGHTS_NAME, revision=revision or None, local_files_only=away)
    except Exception as error:  # of huggingface_hub, httpx, and the file system
        raise ZooError(f"hf:{name} cannot be loaded: {reason(error, name)}.") from error
    return Path(file)


def reason(error: BaseException, name: str) -> str:
    """What went wrong on the way to the hub, in words."""
    from huggingface_hub import errors

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__

    def among(*wanted: type) -> bool:
        return any(isinstance(e, wanted) for e in chain)

    responses = [getattr(e, "response", None) for e in chain]
    status = next((r.status_code for r in responses if r is not None), 0)
    if among(errors.LocalTokenNotFoundError) or status in (401, 403):
        return (
            f"the hub wants a login for {name} (or there is no such model): run hf auth login, or "
            "set HF_TOKEN"
        )
    if among(errors.RepositoryNotFoundError):
        return f"the hub has no model {name}, or it is private (hf auth login)"
    if among(errors.RevisionNotFoundError):
        return "there is no such revision"
    if among(errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
        return f"{UNREACHABLE}, and {name} has not been downloaded before; {_NEXT}"
    if among(errors.EntryNotFoundError):
        return f"{name} has no file {WEIGHTS_NAME}, so it is no model of this zoo"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
