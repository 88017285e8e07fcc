"""The default description of a data set, for checkpoints of a GAN that was given none."""

from __future__ import annotations

from typing import Any

from zoo.contracts.generator import Generator


def unknown_data(generator: Generator) -> dict[str, Any]:
    """Describe a data set as far as the generator determines it: shape and number of classes."""
    return {
        "name": "unnamed",
        "options": {},
        "image_size": generator.image_size,
        "channels": generator.channels,
        "num_classes": generator.num_classes,
        "class_names": [str(i) for i in range(generator.num_classes)],
    }
