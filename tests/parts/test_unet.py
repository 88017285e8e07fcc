"""The U-Net discriminator: counts, its mathematics in plain functions, and the terms of CutMix."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers_contracts import update_of

import zoo
from zoo.layers.cutmix import cutmix_masks, mix


def unet(image_size=32, channels=3, **options):
    torch.manual_seed(0)
    return zoo.create("discriminator", "unet", image_size=image_size, channels=channels, **options)


@pytest.mark.parametrize(
    ("size", "classes", "parameters"),
    [
        (128, 0, 31_481_667),
        (128, 1000, 32_569_667),
        (256, 0, 44_067_651),
        (256, 1000, 45_155_651),
    ],
)
def test_published_counts(size, classes, parameters):
    with torch.device("meta"):
        network = unet(size, num_classes=classes)
    assert sum(p.numel() for p in network.parameters()) == parameters
    # a layer of the authors' network that nothing calls
    assert sum(p.numel() for p in network.parameters() if not p.requires_grad) == 65


def reference(network, x, y):
    """(image's logit (N,), pixels' logits (N, H * W)) by plain convolutions."""

    def conv(layer, h, padding):
        return F.conv2d(h, layer.spectral_norm(layer.weight), layer.bias, padding=padding)

    h, maps = x, []
    for i, block in enumerate(network.down):
        a = conv(block.conv1, h if i == 0 else F.relu(h), 1)
        a = F.avg_pool2d(conv(block.conv2, F.relu(a), 1), 2)
        h = a + F.avg_pool2d(conv(block.shortcut, h, 0), 2)
        maps.append(h)
    features = F.relu(maps[-1]).sum((2, 3))
    score, table = network.score, network.embedding
    whole = F.linear(features, score.spectral_norm(score.weight), score.bias)[:, 0]
    whole = whole + (table.spectral_norm(table.weight)[y] * features).sum(1)
    h = maps.pop()
    for block in network.up:
        a = conv(block.conv1, F.interpolate(F.relu(h), scale_factor=2), 1)
        h = conv(block.conv2, F.relu(a), 1) + conv(
            block.shortcut, F.interpolate(h, scale_factor=2), 0
        )
        if maps:
            h = torch.cat((h, maps.pop()), 1)
    last, table = network.pixels.conv, network.pixels.embedding
    pixels = F.conv2d(h, last.weight, last.bias)[:, 0]
    matched = torch.einsum("ncij,nc->nij", h, table.spectral_norm(table.weight)[y])
    return whole, (pixels + matched).flatten(1)


@pytest.mark.parametrize("size", [[24, 32], 128])
def test_against_plain_functions(size):
    network = unet(size, base_channels=2, num_classes=3).double().eval()
    height, width = network.height, network.width
    x, y = torch.randn(2, 3, height, width, dtype=torch.double), torch.tensor([2, 0])
    whole, pixels = reference(network, x, y)
    output = network.outputs(x, y)
    torch.testing.assert_close(output.scores[:, : height * width], whole[:, None].expand_as(pixels))
    torch.testing.assert_close(output.scores[:, height * width :], pixels)
    torch.testing.assert_close(output.extra["pixels"].flatten(1), pixels)


def test_the_mean_over_scores_is_half_the_papers_loss():
    network = unet(16, base_channels=2, num_classes=2).double().eval()
    x, y = torch.randn(3, 3, 16, 16, dtype=torch.double), torch.tensor([0, 1, 1])
    whole, pixels = reference(network, x, y)
    got = zoo.create("loss", "bce").generator(network(x, y)).mean()
    paper = F.softplus(-whole).mean() + F.softplus(-pixels).mean()
    torch.testing.assert_close(got, paper / 2)


def test_terms_on_mixed_images():
    network = unet(16, base_channels=2, cutmix=0.5, consistency=3.0).double().eval()
    x, y = torch.rand(4, 3, 16, 16, dtype=torch.double) * 2 - 1, torch.zeros(4, dtype=torch.long)
    update = update_of(network, x, y)
    torch.manual_seed(5)
    terms = network.auxiliary(update)
    torch.manual_seed(5)
    masks = cutmix_masks(x)
    fake = update.generated.images
    mixed = network.outputs(masks * x + (1 - masks) * fake)
    whole = mixed.scores[:, 0]
    pixels = mixed.extra["pixels"]
    entropy = F.binary_cross_entropy_with_logits(pixels, masks) + F.softplus(whole).mean()
    torch.testing.assert_close(terms["cutmix"], 0.5 * entropy / 2)
    expected = masks * network.outputs(x).extra["pixels"]
    expected += (1 - masks) * network.outputs(fake).extra["pixels"]
    difference = (pixels - expected).square().mean()
    torch.testing.assert_close(terms["consistency"], (3 * difference / 2).float())
    update.side = "generator"
    assert network.auxiliary(update) == {}


def test_weights_rise_with_the_images_seen():
    network = unet(16, base_channels=2, ramp=16).eval()
    x = torch.rand(4, 3, 16, 16) * 2 - 1
    shares = []
    for _ in range(6):
        torch.manual_seed(5)
        shares.append(network.auxiliary(update_of(network, x, torch.zeros(4).long()))["cutmix"])
    shares = torch.stack(shares) / shares[-1]
    torch.testing.assert_close(shares, torch.tensor([0, 0.25, 0.5, 0.75, 1, 1]))
    assert network.state_dict()["seen"] == 24


def test_masks_are_rectangles_of_every_area():
    torch.manual_seed(0)
    masks = cutmix_masks(torch.zeros(2000, 3, 12, 20))
    assert masks.shape == (2000, 1, 12, 20)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    # by the coin half of all pixels are 1; 2000 independent shares of variance below 1/4
    assert abs(masks.mean() - 0.5) < 5 * 0.5 / 2000**0.5
    inner = torch.where(masks[:, :, :1, :1] == 1, 1 - masks, masks)[:, 0]
    rows, columns = inner.amax(2), inner.amax(1)
    boxes = rows[:, :, None] * columns[:, None, :]
    corner_free = masks[:, 0, 0, 0] == masks[:, 0, -1, -1]
    assert torch.equal(inner[corner_free], boxes[corner_free])


def test_mixing_takes_the_first_where_the_mask_is_one():
    first, second = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    assert torch.equal(mix(mask, first, second), mask)
