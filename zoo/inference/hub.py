"""Download trained generators from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.core.errors import ZooError
from zoo.core.extras import require
from zoo.core.network import reachable
from zoo.inference.files import WEIGHTS_NAME

_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")

UNREACHABLE = "the Hugging Face hub cannot be reached from here"

_NEXT = "zoo.load also accepts a local folder or file"


def check_name(name: str) -> str:
    """Check that a name has the hub's form `owner/name`, and return it."""
    if not _NAME.fullmatch(name):
        raise ZooError(f"{name!r} is not a name on the hub: it must be owner/name.")
    return name


def fetch(name: str) -> Path:
    """Download the weights of a model on the hub, and return their file.

    A file that was downloaded before is available without a network.

    Args:
        name: `owner/name`, or `owner/name@revision`.

    Raises:
        ZooError: there is no such model, it is not from the zoo, or the hub cannot be reached.
    """
    name, _, revision = name.partition("@")
    check_name(name)
    require("hub", f"hf:{name}", "huggingface_hub")
    from huggingface_hub import constants, hf_hub_download

    try:
        # Check the connection first, because the client would retry for half a minute.
        local = constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT)
        file = hf_hub_download(
            name, WEIGHTS_NAME, revision=revision or None, local_files_only=local
        )
    except Exception as error:  # from huggingface_hub, httpx or the file system
        raise ZooError(f"hf:{name} cannot be loaded: {reason(error, name)}.") from error
    return Path(file)


def reason(error: BaseException, name: str) -> str:
    """Explain an error of the hub's client."""
    from huggingface_hub import errors

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__

    def has(*types: type) -> bool:
        return any(isinstance(e, types) for e in chain)

    responses = [getattr(e, "response", None) for e in chain]
    status = next((r.status_code for r in responses if r is not None), 0)
    if has(errors.LocalTokenNotFoundError) or status in (401, 403):
        return (
            f"the hub requires a login for {name} (or there is no such model): run hf auth login, "
            "or set HF_TOKEN"
        )
    if has(errors.RepositoryNotFoundError):
        return f"the hub has no model {name}, or it is private (run hf auth login)"
    if has(errors.RevisionNotFoundError):
        return "there is no such revision"
    if has(errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError):
        return f"{UNREACHABLE}, and {name} has not been downloaded before; {_NEXT}"
    if has(errors.EntryNotFoundError):
        return f"{name} has no file {WEIGHTS_NAME}, so it is not a model of this zoo"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
