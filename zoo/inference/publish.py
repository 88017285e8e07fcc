"""Publish trained generators on the Hugging Face hub, or in a folder with the same files.

A published model consists of four files: `generator.safetensors` (the weights, with their
description in the header), `generator.json` (the description), `README.md` (the model card) and
`samples.png`.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from zoo.core.atomic import replacing, write_text
from zoo.core.errors import ZooError, listing, printable
from zoo.core.extras import require
from zoo.core.foreign import read_text
from zoo.core.network import reachable
from zoo.core.tables import markdown
from zoo.inference.dataset import modes_of
from zoo.inference.export import Dtype, export
from zoo.inference.files import WEIGHTS_NAME
from zoo.inference.hub import UNREACHABLE, check_name, reason
from zoo.inference.images import grid, write_png
from zoo.inference.load import LoadedGenerator
from zoo.inference.locate import pretrained_names
from zoo.registry.spec import in_words

_CARD, _PICTURE = "README.md", "samples.png"
_FILES = (_CARD, WEIGHTS_NAME, str(Path(WEIGHTS_NAME).with_suffix(".json")), _PICTURE)
_LOCAL_KEY = re.compile(r"hydra\b|(.*[._])?(dir|folder|path|file|root)$")
# A path from a root, from home or from the working directory, also within lists and quotes.
_LOCAL_VALUE = re.compile(r"""(^|[\s'"=:,\[{(])(~|\.{0,2}/|[A-Za-z]:[\\/]|\\\\)""")


def publish(
    model: LoadedGenerator,
    repo: str,
    *,
    dtype: Dtype = "bf16",
    license: str | None = None,
    private: bool = False,
    figures: str = "",
    program: str = "gan-zoo",
) -> dict[str, Any]:
    """Publish a model on the hub or in a folder.

    Settings that name files or folders of this machine are removed from its description.

    Args:
        model: the model.
        repo: `owner/name` on the hub, or `file:/some/folder`.
        dtype: the data type of the stored weights; bf16 halves the size of the file.
        license: the hub's identifier of a license for the card (`mit`, `cc-by-4.0`).
        private: whether a repository that this creates is private.
        figures: tables of metrics with their protocols, as text for the card.
        program: the zoo's program in the commands on the card.

    Returns:
        The place of the model, the code that loads it, and the size of the weights in bytes.

    Raises:
        ZooError: the folder cannot be written or has such files of another origin, or the hub
            refuses or cannot be reached.
    """
    folder = Path(repo.removeprefix("file:")).expanduser() if repo.startswith("file:") else None
    if folder is None:
        check_name(repo)
    else:
        _check_folder(repo, folder)
    model = copy.copy(model)
    model.info = without_paths(model.info)
    with tempfile.TemporaryDirectory() as scratch:
        files = Path(scratch)
        summary = export(model, files / WEIGHTS_NAME, "safetensors", dtype)
        write_png(_samples(model), files / _PICTURE)
        source = str(folder) if folder is not None else f"hf:{repo}"
        # The card shows only the name of a folder, because the folder may be moved.
        shown = folder.resolve().name if folder is not None else source
        text = card(model, shown, dtype, license, figures or card_figures(model), program)
        write_text(files / _CARD, text)
        if folder is not None:
            _copy(files, folder)
            place = str(folder)
        else:
            place = _upload(files, repo, private)
    return {"published": place, "load": f'zoo.load("{source}")', "bytes": summary["bytes"]}


def described(
    model: LoadedGenerator, dataset: str | None = None, note: str | None = None
) -> LoadedGenerator:
    """Return a copy of a model with another name for its data set, and a note for its card.

    Args:
        model: the model.
        dataset: the name of the data set, whose options are then removed; None keeps both. It is
            useful for images from a folder, which are described only as `image_folder`.
        note: a sentence for the card; None keeps a note that the model already has.
    """
    model = copy.copy(model)
    model.info = dict(model.info)
    if dataset:
        model.info["data"] = {**model.data, "name": dataset, "options": {}}
    if note:
        model.info["note"] = note
    return model


def _check_folder(repo: str, folder: Path) -> None:
    """Refuse to overwrite files that do not belong to a published model of the zoo."""
    if not repo.removeprefix("file:").strip():
        raise ZooError(f"repo={repo} names no folder: write repo=file:/some/folder.")
    card = folder / _CARD
    if card.is_file() and "\n- gan-zoo\n" in card.read_text("utf-8", errors="replace"):
        return
    if existing := [name for name in _FILES if (folder / name).exists()]:
        raise ZooError(
            f"{folder / existing[0]} would be overwritten, but {folder} has no model card of the "
            "zoo: choose another folder."
        )


def without_paths(info: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's description without the names of this machine's files and folders.

    Overrides and options of the data set that name a file or folder are removed. The path of a
    plugin outside the working directory is reduced to its file name.
    """
    public = dict(info)
    options = info["data"].get("options") or {}
    options = {k: v for k, v in options.items() if not _is_local(k, str(v))}
    public["data"] = {**info["data"], "options": options}
    if overrides := info.get("overrides"):
        pairs = [(o, *o.partition("=")[::2]) for o in map(str, overrides)]
        public["overrides"] = [o for o, key, value in pairs if not _is_local(key, value)]
    if start := info.get("start"):
        public["start"] = _without_folders(start)
    if sources := info.get("sources"):
        public["sources"] = {k: Path(s).name if _is_local("", s) else s for k, s in sources.items()}
    return public


def _without_folders(start: dict[str, Any]) -> dict[str, Any]:
    """Reduce the files from which a training started, also indirectly, to their names."""
    source = str(start.get("source"))
    is_public = source in pretrained_names() or source.startswith("hf:")
    public = {**start, "source": source if is_public else Path(source).name}
    if isinstance(start.get("start"), dict):
        public["start"] = _without_folders(start["start"])
    return public


def _is_local(key: str, value: str) -> bool:
    """Whether a setting names a file or folder of this machine."""
    return bool(_LOCAL_KEY.match(key.lstrip("+~")) or _LOCAL_VALUE.search(value))


def _copy(source: Path, folder: Path) -> None:
    """Copy the files of a published model into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.iterdir()):  # the card first, which marks the folder as ours
            with replacing(folder / file.name) as partial:
                shutil.copyfile(file, partial)
    except OSError as error:
        raise ZooError(f"cannot publish into {folder}: {error.strerror or error}.") from error


def _upload(source: Path, repo: str, private: bool) -> str:
    """Upload the files of a published model to the hub, and return the address."""
    require("hub", f"repo={repo}", "huggingface_hub")
    from huggingface_hub import HfApi

    api = HfApi()
    if not reachable(api.endpoint):
        raise ZooError(
            f"{repo} cannot be published: {UNREACHABLE}; repo=file:/some/folder works without it."
        )
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=source, commit_message="Publish with gan-zoo")
    except Exception as error:
        raise ZooError(f"{repo} cannot be published: {reason(error, repo)}.") from error
    return f"{api.endpoint}/{repo}"


def _samples(model: LoadedGenerator) -> Any:
    """Draw a grid of samples for the card, with a row for each of up to ten classes."""
    if not model.num_classes:
        return grid(model.sample(64), 8, modes=modes_of(model.data))
    rows = model.class_names[:10]  # names, since an index could be the name of another class
    return grid(model.sample(8, label=rows), 8, rows=rows, modes=modes_of(model.data))


def title_of(model: LoadedGenerator) -> str:
    """Return the title of a model card: `dcgan on mnist`."""
    return printable(f"{model.info['generator']['name']} on {model.data.get('name')}")


def card(
    model: LoadedGenerator,
    source: str,
    dtype: str,
    license: str | None = None,
    figures: str = "",
    program: str = "gan-zoo",
) -> str:
    """Write a model card in Markdown: samples, loading code, parts, data, a note, and metrics.

    Args:
        model: the model.
        source: the argument of `zoo.load` in the loading code.
        dtype: the data type of the stored weights.
        license: the hub's identifier of a license, or None.
        figures: tables of metrics with their protocols, as text; empty for none.
        program: the zoo's program in the commands on the card.
    """
    info, data = model.info, model.data
    title = title_of(model)
    g = model.generator
    shape = g.channels, g.height, g.width
    parameters = sum(p.numel() for p in model.generator.parameters())
    name = printable(str(data.get("name")))
    tag = name if re.fullmatch(r"[\w.-]+", name) else json.dumps(name)
    front = ["tags:", "- gan", "- gan-zoo", f"- {tag}"]
    if model.num_classes:  # the hub has no pipeline for conditional generation
        front.append("- class-conditional-image-generation")
    else:
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
        ("data", f"{name}, {'×'.join(map(str, shape))}"),
        ("classes", listing(model.class_names) if model.num_classes else "none (unconditional)"),
        ("trained on", f"{model.images_seen:,} images, {info.get('step', 0):,} updates"),
        *((("started from", _started(info["start"])),) if info.get("start") else ()),
        ("weights", f"{model.weights}, stored as {dtype}; batch norm {model.batch_norm}"),
        ("made with", f"gan-zoo {info.get('version')}"),
    ]
    if info.get("overrides"):
        rows.append(("command", f"`{program} {shlex.join(map(str, info['overrides']))}`"))
    label = ""
    if model.num_classes:
        label = f", label={json.dumps(model.class_names[min(5, model.num_classes - 1)])}"
    none = f"None yet: `{program} task=evaluate ckpt=…` computes them."
    shown = "```\n" + figures.replace("```", "~~~") + "\n```" if figures else none
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
            f"images = model.sample(64{label})  # {(64, *shape)} in [-1, 1]",
            "```",
            "",
            printable(markdown(["", ""], rows), "\n"),
            "",
            *([printable(str(info["note"])), ""] if info.get("note") else []),
            "## Figures",
            "",
            shown,
            "",
        ]
    )


def card_figures(model: LoadedGenerator) -> str:
    """Return the tables of metrics in the card of an already published model, else nothing.

    They do not apply if the batch-norm statistics have been recomputed since.
    """
    beside = model.file.with_name(_CARD)
    is_unchanged = model.batch_norm == model.info.get("batch_norm", "running")
    if model.file.name != WEIGHTS_NAME or not is_unchanged or not beside.is_file():
        return ""
    try:
        text = read_text(beside)
    except (OSError, UnicodeDecodeError):
        return ""
    match = re.search(r"\n## Figures\n+```\n(.*?)\n```\n", text, re.DOTALL)
    # Backquotes within the tables would end the block too early.
    return match[1].replace("```", "'''") if match else ""


def _started(start: dict[str, Any]) -> str:
    """Describe the model whose weights a training started from."""
    return (
        f"{start.get('source')} ({start.get('generator')}, {start.get('images_seen'):,} images of "
        f"{start.get('data')})"
    )
