"""List the trained models that come with the zoo, for `task=list`."""

from __future__ import annotations

import json
from collections.abc import Iterator

from zoo.core.tables import described, markdown
from zoo.registry.places import ZOO

PRETRAINED = ZOO / "inference" / "pretrained"


def models() -> Iterator[tuple[str, str]]:
    """Yield each model's name and a sentence about it, from its JSON description, without torch."""
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
    """Format the section for a terminal with `width` columns."""
    return "\n".join(["MODELS   ckpt=NAME", *described(list(models()), width)])


def models_page() -> str:
    """Format the section in Markdown."""
    rows = [[f"`ckpt={name}`", what] for name, what in models()]
    return f"## models\n\n{markdown(['choice', 'what'], rows)}"
