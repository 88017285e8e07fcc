"""Publishing trained generators: on the Hugging Face hub, or in a folder like one.

A published model is four files: `generator.safetensors` (the weights, with their description in
the header), `generator.json` (the description), `README.md` (the model card), `samples.png`.
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
# A path from a root, from home or from the working directory, also inside of lists and quotes.
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
    """Publish `model` as `repo`: `owner/name` on the hub, or `file:/some/folder`.

    Settings that name files or folders of this machine are left out of its description.

    Args:
        dtype: of the weights; bf16 halves the file.
        license: an identifier of the hub (`mit`, `cc-by-4.0`) for the card.
        private: of a repository that is made by this.
        figures: tables for the card, with their protocols, as text.
        program: how the zoo is called in the card's commands.

    Returns:
        Where it is, how it is loaded, and the size of the weights in bytes.

    Raises:
        ZooError: the folder cannot be written or holds such files of other origin, or the hub
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
        made = Path(scratch)
        summary = export(model, made / WEIGHTS_NAME, "safetensors", dtype)
        write_png(_samples(model), made / _PICTURE)
        source = str(folder) if folder is not None else f"hf:{repo}"
        # Of a folder its name alone, for it is read wherever the folder has gone.
        named = folder.resolve().name if folder is not None else source
        text = card(model, named, dtype, license, figures or card_figures(model), program)
        write_text(made / _CARD, text)
        if folder is not None:
            _copy(made, folder)
            place = str(folder)
        else:
            place = _upload(made, repo, private)
    return {"published": place, "load": f'zoo.load("{source}")', "bytes": summary["bytes"]}


def described(
    model: LoadedGenerator, dataset: str | None = None, note: str | None = None
) -> LoadedGenerator:
    """`model` with its data under another name, and with a note for its card.

    Where pictures were read from a folder, that says less than the data set's name. Options that
    belong to the folder are left out with it; a note that it has already stays where none is given.
    """
    model = copy.copy(model)
    model.info = dict(model.info)
    if dataset:
        model.info["data"] = {**model.data, "name": dataset, "options": {}}
    if note:
        model.info["note"] = note
    return model


def _check_folder(repo: str, folder: Path) -> None:
    """Refuse to write over what is no published model."""
    if not repo.removeprefix("file:").strip():
        raise ZooError(f"repo={repo} names no folder: write repo=file:/some/folder.")
    card = folder / _CARD
    if card.is_file() and "\n- gan-zoo\n" in card.read_text("utf-8", errors="replace"):
        return
    if held := [name for name in _FILES if (folder / name).exists()]:
        raise ZooError(
            f"{folder / held[0]} would be overwritten, and {folder} has no model card of the zoo: "
            "choose another folder."
        )


def without_paths(info: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's description without what names files or folders of this machine.

    They are left out of the overrides and of the options of the data set; of a plugin that lies
    elsewhere than below the working directory, the file's name is left.
    """
    kept = dict(info)
    options = info["data"].get("options") or {}
    options = {k: v for k, v in options.items() if not _local(k, str(v))}
    kept["data"] = {**info["data"], "options": options}
    if overrides := info.get("overrides"):
        kept["overrides"] = [o for o in map(str, overrides) if not _local(*o.partition("=")[::2])]
    if start := info.get("start"):
        kept["start"] = _named_only(start)
    if sources := info.get("sources"):
        kept["sources"] = {k: Path(s).name if _local("", s) else s for k, s in sources.items()}
    return kept


def _named_only(start: dict[str, Any]) -> dict[str, Any]:
    """Where a training started, and where that did, without folders of this machine."""
    source = str(start.get("source"))
    known = source in pretrained_names() or source.startswith("hf:")
    kept = {**start, "source": source if known else Path(source).name}
    if isinstance(start.get("start"), dict):
        kept["start"] = _named_only(start["start"])
    return kept


def _local(key: str, value: str) -> bool:
    return bool(_LOCAL_KEY.match(key.lstrip("+~")) or _LOCAL_VALUE.search(value))


def _copy(made: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(made.iterdir()):  # the card first, by which the others are known
            with replacing(folder / file.name) as partial:
                shutil.copyfile(file, partial)
    except OSError as error:
        raise ZooError(f"cannot publish into {folder}: {error.strerror or error}.") from error


def _upload(made: Path, repo: str, private: bool) -> str:
    require("hub", f"repo={repo}", "huggingface_hub")
    from huggingface_hub import HfApi

    api = HfApi()
    if not reachable(api.endpoint):
        raise ZooError(f"{repo} cannot be published: {UNREACHABLE}: repo=file:/some/folder works.")
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=made, commit_message="Publish with gan-zoo")
    except Exception as error:
        raise ZooError(f"{repo} cannot be published: {reason(error, repo)}.") from error
    return f"{api.endpoint}/{repo}"


def _samples(model: LoadedGenerator) -> Any:
    if not model.num_classes:
        return grid(model.sample(64), 8, modes=modes_of(model.data))
    rows = model.class_names[:10]  # a number would be a name too, where names are numbers
    return grid(model.sample(8, label=rows), 8, rows=rows, modes=modes_of(model.data))


def title_of(model: LoadedGenerator) -> str:
    """The heading of a model card: `dcgan on mnist`."""
    return printable(f"{model.info['generator']['name']} on {model.data.get('name')}")


def card(
    model: LoadedGenerator,
    source: str,
    dtype: str,
    license: str | None = None,
    figures: str = "",
    program: str = "gan-zoo",
) -> str:
    """The model card in Markdown: a picture, how it is loaded, parts, data, its note, figures."""
    info, data = model.info, model.data
    title = title_of(model)
    g = model.generator
    shape = g.channels, g.height, g.width
    parameters = sum(p.numel() for p in model.generator.parameters())
    name = printable(str(data.get("name")))
    tag = name if re.fullmatch(r"[\w.-]+", name) else json.dumps(name)
    front = ["tags:", "- gan", "- gan-zoo", f"- {tag}"]
    if model.num_classes:  # for which the hub has no pipeline
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
    none = f"None yet: `{program} task=evaluate ckpt=…` makes them."
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
    """The figures in the card beside a published model's file, while they hold; else nothing."""
    beside = model.file.with_name(_CARD)
    known = model.batch_norm == model.info.get("batch_norm", "running")
    if model.file.name != WEIGHTS_NAME or not known or not beside.is_file():
        return ""
    try:
        text = read_text(beside)
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r"\n## Figures\n+```\n(.*?)\n```\n", text, re.DOTALL)
    return found[1].replace("```", "'''") if found else ""  # which would end them too early


def _started(start: dict[str, Any]) -> str:
    """Whose weights a training started from, in words."""
    return (
        f"{start.get('source')} ({start.get('generator')}, {start.get('images_seen'):,} images of "
        f"{start.get('data')})"
    )
