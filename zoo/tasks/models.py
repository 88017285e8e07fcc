"""The models that come with the zoo, as `task=list` shows them: names for `ckpt=`."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from zoo.core.tables import markdown
from zoo.registry.places import ZOO

PRETRAINED = ZOO / "inference" / "pretrained"


def models() -> Iterator[tuple[str, str]]:
    """Each model's name, and what it is in words; read from descriptions, without torch."""
    for file in sorted(PRETRAINED.glob("*/generator.json")):
        info = json.loads(file.read_text(encoding="utf-8"))
        data = info["data"]
        options = info["generator"]["options"]
        classes = options["num_classes"]
        what = (
            f"{info['generator']['name']} on {data['name']} at {data['image_size']} pixels in "
            f"{'colour' if options['channels'] > 1 else 'grey'}, "
            f"{f'{classes} classes' if classes else 'unconditional'}, "
            f"{info['images_seen']:,} images seen."
        )
        yield file.parent.name, " ".join(filter(None, [what, info.get("note")]))


def models_text(width: int = 120) -> str:
    """The section for a terminal of `width` columns."""
    found = list(models())
    names = max(len(name) for name, _ in found)
    lines = ["MODELS   ckpt=NAME"]
    for name, what in found:
        head = f"  {name:<{names}}  "
        lines += textwrap.wrap(what, width, initial_indent=head, subsequent_indent=" " * len(head))
    return "\n".join(lines)


def models_page() -> str:
    """The section in Markdown."""
    rows = [[f"`ckpt={name}`", what] for name, what in models()]
    return f"## models\n\n{markdown(['choice', 'what'], rows)}"
