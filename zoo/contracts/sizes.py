"""Which image sizes a network takes."""

from __future__ import annotations

from zoo.core.errors import ZooError


def check_image_size(part: str, image_size: int, multiple: int = 4, minimum: int = 8) -> None:
    """Refuse an `image_size` that `part` cannot take, naming the nearest sizes that it can.

    Raises:
        ZooError: `image_size` is below `minimum` or no multiple of `multiple`.
    """
    if image_size >= minimum and image_size % multiple == 0:
        return
    below = max(minimum, image_size // multiple * multiple)
    nearest = sorted({below, max(minimum, below + multiple)} if image_size > minimum else {minimum})
    raise ZooError(
        f"{part} cannot work at image_size={image_size}: it takes multiples of {multiple} from "
        f"{minimum} up; the nearest is {' or '.join(map(str, nearest))}."
    )
