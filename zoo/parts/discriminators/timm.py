"""Any timm backbone as a discriminator's trunk."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import check_image_size
from zoo.core.errors import ZooError, suggest
from zoo.core.torch_internals import BatchNorm
from zoo.layers.derivatives import twice_differentiable
from zoo.registry import at_least, discriminator

# For smaller images the deepest map of most backbones (1/32 of the image) would vanish.
SMALLEST_INPUT = 32


@discriminator("timm")
class TimmDiscriminator(Discriminator):
    """Any timm backbone as the trunk, with random or pretrained weights.

    Images smaller than 32 pixels are enlarged to 32 bilinearly. For models with a fixed input size
    (vision transformers) all images are resized to it, unless `input_size` is given. Pretrained
    weights receive three-channel images normalised as in their training.

    Paper: Sauer et al. (2021), arXiv:2111.01007.

    Args:
        image_size: side in pixels, a multiple of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        model: a name from `timm.list_models()`, with or without a pretrained tag.
        pretrained: whether to download the trained weights.
        input_size: side in pixels to which images are resized; None as described above.
        norm: `model` keeps the model's norms; `layer` replaces each batch norm by a layer norm over
            the whole map; `auto` is `layer` with `per_sample`, since batch statistics would falsify
            per-image gradients, else `model`.
        per_sample: whether the training differentiates each image's score separately, as gradient
            penalties do; set from the chosen loss and regularizers.

    Raises:
        ZooError: The model is unknown, its weights are not available, or it cannot take the size.
    """

    mean: Tensor | None
    std: Tensor | None

    tiny: ClassVar[dict[str, Any]] = {"model": "test_resnet"}

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        model: str = "resnet18",
        pretrained: bool = False,
        input_size: Annotated[int, at_least(1)] | None = None,
        norm: Literal["auto", "model", "layer"] = "auto",
        per_sample: bool = False,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator timm", image_size)
        self.trunk, own_size = _backbone(model, pretrained, self.in_channels, input_size)
        self.input_size = input_size or own_size or max(image_size, SMALLEST_INPUT)
        if norm == "layer" or (norm == "auto" and per_sample):
            _replace_batch_norm(self.trunk)
        self.register_buffer("mean", None, persistent=False)
        self.register_buffer("std", None, persistent=False)
        if pretrained and self.in_channels == 3:
            self.normalise_as_trained()
        self.attach_head(self._probe(model, per_sample))

    def normalise_as_trained(self) -> None:
        """Feed the trunk images normalised as in its training instead of images in [-1, 1]."""
        training: Any = self.trunk.pretrained_cfg
        # ((x + 1) / 2 - mean) / std for x in [-1, 1], as one subtraction and one division.
        self.mean = (2 * torch.tensor(training["mean"]) - 1).view(3, 1, 1)
        self.std = (2 * torch.tensor(training["std"])).view(3, 1, 1)

    def _probe(self, model: str, per_sample: bool) -> int:
        """Return the width of the feature vector, which not all models state, by a trial pass.

        With `per_sample` the second derivative is computed too, since not every operation has one.
        """
        size = self.height
        image = torch.zeros(1, self.in_channels, size, size, requires_grad=per_sample)
        training = self.trunk.training
        self.trunk.eval()
        try:
            with torch.set_grad_enabled(per_sample), twice_differentiable():
                features = self.features(image)
            if per_sample:
                (slope,) = torch.autograd.grad(features.sum(), image, create_graph=True)
                torch.autograd.grad(
                    slope.square().sum(), list(self.trunk.parameters()), allow_unused=True
                )
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            remedy = "take another model or input_size"
            if "derivative" in reason:
                remedy = "take another model, or a method without gradient penalty"
            raise ZooError(
                f"discriminator timm: {model} does not work on images of {self.input_size} pixels "
                f"({reason}): {remedy}."
            ) from error
        finally:
            self.trunk.train(training)
        return features.shape[1]

    def features(self, x: Tensor) -> Tensor:
        size = self.input_size
        if size != self.height:
            x = F.interpolate(x, (size, size), mode="bilinear", antialias=size < self.height)
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return self.trunk(x)


def _backbone(
    model: str, pretrained: bool, channels: int, input_size: int | None
) -> tuple[nn.Module, int | None]:
    """Return the timm model without its classifier, and its fixed input size or None."""
    import timm

    if not timm.is_model(model):
        raise ZooError(
            f"discriminator timm: unknown model {model!r}."
            f"{suggest(model, timm.list_models())} timm.list_models() names all "
            f"{len(timm.list_models())}."
        )
    options: dict[str, Any] = {"in_chans": channels, "num_classes": 0}
    try:
        default = timm.get_pretrained_cfg(model)
        own_size = default.input_size[-1] if default and default.fixed_input_size else None
        if own_size and input_size:
            options["img_size"] = input_size
        return timm.create_model(model, pretrained=pretrained, **options), own_size
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if pretrained:
            raise ZooError(
                f"discriminator timm: no pretrained weights for {model}: {reason} Random weights "
                "work offline: model.discriminator.pretrained=false"
            ) from error
        raise ZooError(f"discriminator timm: cannot build {model}: {reason}") from error


def _replace_batch_norm(module: nn.Module) -> None:
    """Replace each batch norm by a layer norm over (C, H, W), in place."""
    for name, child in module.named_children():
        if isinstance(child, BatchNorm):
            layers: list[nn.Module] = [nn.GroupNorm(1, child.num_features)]
            # timm's fused norms include an activation, which is kept.
            if isinstance(getattr(child, "act", None), nn.Module):
                layers.append(cast(nn.Module, child.act))
            setattr(module, name, nn.Sequential(*layers))
        else:
            _replace_batch_norm(child)
