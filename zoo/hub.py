"""Publishing trained generators and fetching them: the Hugging Face hub, or a folder like one.

A published model is four files: `generator.safetensors` (the weights, with their description in
the header), `generator.json` (the description), `README.md` (the model card), `samples.png`.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.checkpoint import LoadedGenerator
from zoo.describe import in_words
from zoo.errors import ZooError, listing
from zoo.export import Dtype, export
from zoo.extras import require
from zoo.files import WEIGHTS_NAME
from zoo.images import grid, to_uint8, write_png
from zoo.metrics.features import reachable
from zoo.metrics.protocol import Result, tables

_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")
_UNREACHABLE = "the Hugging Face hub cannot be reached from here"
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
        raise ZooError(f"hf:{name} cannot be loaded: {_reason(error, name)}.") from error
    return Path(file)


def publish(
    model: LoadedGenerator,
    repo: str,
    *,
    dtype: Dtype = "bf16",
    license: str | None = None,
    private: bool = False,
    results: Sequence[Result] = (),
) -> dict[str, Any]:
    """Publish `model` as `repo`: `owner/name` on the hub, or `file:/some/folder`.

    Args:
        dtype: of the weights; bf16 halves the file.
        license: an identifier of the hub (`mit`, `cc-by-4.0`) for the card.
        private: of a repository that is made by this.
        results: figures for the card, with their protocols.

    Returns:
        Where it is, how it is loaded, and the size of the weights in bytes.

    Raises:
        ZooError: the folder cannot be written, or the hub refuses or cannot be reached.
    """
    folder = Path(repo.removeprefix("file:")).expanduser() if repo.startswith("file:") else None
    if folder is None:
        check_name(repo)
    else:
        _check_folder(repo, folder)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        summary = export(model, made / WEIGHTS_NAME, "safetensors", dtype)
        write_png(_samples(model), made / "samples.png")
        source = str(folder) if folder is not None else f"hf:{repo}"
        text = card(model, source, dtype, license, results)
        (made / "README.md").write_text(text, encoding="utf-8")
        if folder is not None:
            _copy(made, folder)
            place = str(folder)
        else:
            place = _upload(made, repo, private)
    return {"published": place, "load": f'zoo.load("{source}")', "bytes": summary["bytes"]}


def _check_folder(repo: str, folder: Path) -> None:
    """Refuse to write over what is no published model."""
    if not repo.removeprefix("file:").strip():
        raise ZooError(f"repo={repo} names no folder: write repo=file:/some/folder.")
    card = folder / "README.md"
    if card.is_file() and "\n- gan-zoo\n" not in card.read_text("utf-8", errors="replace"):
        raise ZooError(
            f"{card} is no model card of the zoo and would be overwritten: choose another folder."
        )


def _copy(made: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in made.iterdir():
            shutil.copyfile(file, folder / file.name)
    except OSError as error:
        raise ZooError(f"cannot publish into {folder}: {error.strerror or error}.") from error


def _upload(made: Path, repo: str, private: bool) -> str:
    require("hub", f"repo={repo}", "huggingface_hub")
    from huggingface_hub import HfApi

    api = HfApi()
    if not reachable(api.endpoint):
        raise ZooError(f"{repo} cannot be published: {_UNREACHABLE}: repo=file:/some/folder works.")
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=made, commit_message="Publish with gan-zoo")
    except Exception as error:
        raise ZooError(f"{repo} cannot be published: {_reason(error, repo)}.") from error
    return f"{api.endpoint}/{repo}"


def _reason(error: BaseException, name: str) -> str:
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
        return f"{_UNREACHABLE}, and {name} has not been downloaded before; {_NEXT}"
    if among(errors.EntryNotFoundError):
        return f"{name} has no file {WEIGHTS_NAME}, so it is no model of this zoo"
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _samples(model: LoadedGenerator) -> Any:
    if not model.num_classes:
        return grid(to_uint8(model.sample(64)), 8)
    rows = min(model.num_classes, 10)
    images = model.sample(8, label=list(range(rows)))
    return grid(to_uint8(images), 8, rows=model.class_names[:rows])


def card(
    model: LoadedGenerator,
    source: str,
    dtype: str,
    license: str | None = None,
    results: Sequence[Result] = (),
) -> str:
    """The model card in Markdown: what it is, how it is loaded, parts, data, figures, a picture."""
    info, data = model.info, model.data
    title = f"{info['generator']['name']} on {data.get('name')}"
    size, channels = model.generator.image_size, model.generator.channels
    parameters = sum(p.numel() for p in model.generator.parameters())
    front = ["tags:", "- gan", "- gan-zoo", f"- {data.get('name')}"]
    front.append("pipeline_tag: unconditional-image-generation")
    if license:
        front.append(f"license: {license}")
    rows = [
        ("generator", in_words(info["generator"])),
        *((k, in_words(info[k])) for k in ("discriminator", "loss") if info.get(k)),
        *(
            (k, listing(map(in_words, info[k])))
            for k in ("regularizers", "augmentations")
            if info.get(k)
        ),
        ("parameters of the generator", f"{parameters:,}"),
        ("data", f"{data.get('name')}, {channels}×{size}×{size}"),
        ("classes", listing(model.class_names) if model.num_classes else "none (unconditional)"),
        ("trained on", f"{model.images_seen:,} images, {info.get('step', 0):,} updates"),
        ("weights", f"{model.weights}, stored as {dtype}; batch norm {model.batch_norm}"),
        ("made with", f"gan-zoo {info.get('version')}"),
    ]
    if info.get("overrides"):
        rows.append(("command", f"`python run.py {shlex.join(map(str, info['overrides']))}`"))
    label = ""
    if model.num_classes:
        label = f", label={json.dumps(model.class_names[min(5, model.num_classes - 1)])}"
    figures = "None yet: `python run.py task=evaluate ckpt=…` makes them."
    if results:
        figures = "```\n" + tables(list(results)).strip() + "\n```"
    return "\n".join(
        [
            "---",
            *front,
            "---",
            "",
            f"# {title}",
            "",
            "![samples](samples.png)",
            "",
            "```python",
            "import zoo",
            "",
            f'model = zoo.load("{source}")',
            f"images = model.sample(64{label})  # (64, {channels}, {size}, {size}) in [-1, 1]",
            "```",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {_cell(value)} |" for name, value in rows),
            "",
            "## Figures",
            "",
            figures,
            "",
        ]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
