"""Open the data set that a generator was trained on, or another one at its image size."""

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
    """Open a data set at the generator's image size.

    Args:
        data: the description of the data in the generator's file.
        generator: the generator.
        file: its file, for error messages.
        data_dir: the folder of data sets.
        name: the name of a data set, or anything that `datamodule.folder` accepts; None opens the
            data set that the generator was trained on, with the same options.

    Raises:
        ZooError: no data set of this name is registered here, or its files are missing.
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
                f"dataset={name} is neither a folder or file of images nor a data set; the data "
                f"sets are {listing(names)}.{suggest(name, names)}"
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
            f"{file} was trained on the data set {name!r}, which is not registered here; the data "
            f"sets are {listing(names)}."
        )
    part = REGISTRY.get("datamodule", name)
    options = {**options, "data_dir": data_dir, "image_size": generator.image_size}
    module = remake("datamodule", name, {k: v for k, v in options.items() if part.takes(k)})
    module.prepare_data()
    module.setup()
    return module


def modes_of(data: dict[str, Any]) -> Tensor | None:
    """Return the centers (K, 2) of the modes of a data set of points; None for other data.

    Args:
        data: the description of the data in a file or of a training.
    """
    shape = (data.get("channels"), *height_width(data.get("image_size") or 0))
    name = data.get("name")
    if shape != POINT or name not in list_parts("datamodule"):
        return None
    part = REGISTRY.get("datamodule", name)
    options = {k: v for k, v in (data.get("options") or {}).items() if part.takes(k)}
    try:
        centers: Tensor | None = remake("datamodule", name, options).centers
    except ZooError:  # the options do not suit the data set that is registered here
        return None
    return centers
