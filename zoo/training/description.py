"""What a checkpoint says of data that nobody described."""

from __future__ import annotations

from typing import Any

from zoo.contracts.generator import Generator


def unknown_data(generator: Generator) -> dict[str, Any]:
    """What is known of the data where nobody described it."""
    return {
        "name": "unnamed",
        "options": {},
        "image_size": generator.image_size,
        "channels": generator.channels,
        "num_classes": generator.num_classes,
        "class_names": [str(i) for i in range(generator.num_classes)],
    }
