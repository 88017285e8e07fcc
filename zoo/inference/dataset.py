"""The data set that a generator was trained on, or another one at its size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, listing, suggest
from zoo.core.sizes import height_width
from zoo.data.pixels import POINT
from zoo.registry import REGISTRY, list_parts, remake

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.data.base import DataModule


def dataset_of(
    data: dict[str, Any], generator: Generator, file: Path, data_dir: str, name: str | None
) -> DataModule:
    """A data set below `data_dir`, at the generator's image size.

    Args:
        data: what the generator's file says of its own.
        file: for sentences.
        name: of the data set, or what `datamodule.folder` takes; None takes the generator's own,
            built as it was then.

    Raises:
        ZooError: no data set of this name is registered here, or it is missing.
    """
    from zoo.data.sources.opening import is_source, located

    names = list_parts("datamodule")
    options: dict[str, Any] = {}
    if name is None or name == data.get("name"):
        name, options = data.get("name"), data.get("options", {})
    elif name not in names:
        place = located(name, Path(data_dir).expanduser().resolve())
        if not is_source(place):
            raise ZooError(
                f"dataset={name} is neither a folder or file of pictures nor a data set; there "
                f"are {listing(names)}.{suggest(name, names)}"
            )
        options = {"folder": place, "channels": generator.channels}
        name = "image_folder"
    elif REGISTRY.get("datamodule", name).takes("folder"):
        raise ZooError(
            f"dataset={name} names no folder: give the folder itself, for example "
            "dataset=my/pictures"
        )
    if name not in names:
        raise ZooError(
            f"{file} was trained on the data set {name!r}, which is not here; there are "
            f"{listing(names)}."
        )
    part = REGISTRY.get("datamodule", name)
    options = {**options, "data_dir": data_dir, "image_size": generator.image_size}
    made = remake("datamodule", name, {k: v for k, v in options.items() if part.takes(k)})
    made.prepare_data()
    made.setup()
    return made


def modes_of(data: dict[str, Any]) -> Tensor | None:
    """The middles (K, 2) of the modes of a data set of points; None for images, or where unknown.

    Args:
        data: what a file, or a training, says of its data.
    """
    shape = (data.get("channels"), *height_width(data.get("image_size") or 0))
    name = data.get("name")
    if shape != POINT or name not in list_parts("datamodule"):
        return None
    part = REGISTRY.get("datamodule", name)
    options = {k: v for k, v in (data.get("options") or {}).items() if part.takes(k)}
    try:
        centers: Tensor | None = remake("datamodule", name, options).centers
    except ZooError:  # made elsewhere, of what is not here
        return None
    return centers
