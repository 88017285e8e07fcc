"""The PatchGAN: counts, patches, and its mathematics against torch's plain functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import zoo
from zoo.core.errors import ZooError


def patchgan(image_size=64, channels=3, **options):
    torch.manual_seed(0)
    return zoo.create(
        "discriminator", "patchgan", image_size=image_size, channels=channels, **options
    )


def count(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("channels", "options", "parameters"),
    [
        (3, {}, 2_765_633),
        (6, {}, 2_768_705),
        (3, {"norm": "instance"}, 2_764_737),
        (6, {"norm": "instance"}, 2_767_809),
        (3, {"n_layers": 1}, 136_513),
        (3, {"n_layers": 2}, 663_361),
        (3, {"n_layers": 4}, 6_960_961),
        (3, {"n_layers": 5}, 11_156_289),
        (3, {"n_layers": 0}, 8_832),
        (6, {"n_layers": 0}, 9_024),
    ],
)
def test_published_counts(channels, options, parameters):
    with torch.device("meta"):
        assert count(patchgan(256, channels, **options)) == parameters


def test_classes_add_one_embedding():
    with torch.device("meta"):
        assert count(patchgan(256, num_classes=10)) == 2_765_633 + 10 * 512


@pytest.mark.parametrize(
    ("n_layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)]
)
def test_receptive_field(n_layers, field):
    """The support of one logit's gradient."""
    side = 3 * max(field, 96) // 32 * 32
    network = patchgan(side, n_layers=n_layers, base_channels=2, norm="none").double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()  # so that nothing cancels
    image = torch.ones(1, 3, side, side, dtype=torch.double, requires_grad=True)
    scores = network(image)
    root = round(scores.shape[1] ** 0.5)
    middle = scores.view(root, root)[root // 2, root // 2]
    (slope,) = torch.autograd.grad(middle, image)
    seen = slope.abs().sum((0, 1)) > 0
    assert (seen.any(0).sum().item(), seen.any(1).sum().item()) == (field, field)


def test_thirty_by_thirty_logits_at_256():
    with torch.device("meta"):
        assert patchgan(256)(torch.empty(2, 3, 256, 256)).shape == (2, 900)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_against_plain_functions(norm):
    network = patchgan(32, n_layers=2, base_channels=4, norm=norm, num_classes=3).double()
    x, y = torch.randn(4, 3, 32, 32, dtype=torch.double), torch.tensor([0, 2, 1, 0])
    weights = dict(network.named_parameters())

    def normed(h, i):
        if norm == "batch":
            return F.batch_norm(
                h, None, None, weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"], True
            )
        if norm == "instance":
            variance, mean = torch.var_mean(h, (2, 3), keepdim=True, unbiased=False)
            return (h - mean) / (variance + 1e-5).sqrt()
        return h

    def conv(h, name, stride):
        return F.conv2d(h, weights[f"{name}.weight"], weights.get(f"{name}.bias"), stride, 1)

    h = F.leaky_relu(conv(x, "layers.0", 2), 0.2)
    h = F.leaky_relu(normed(conv(h, "layers.2", 2), 3), 0.2)
    h = F.leaky_relu(normed(conv(h, "layers.5", 1), 6), 0.2)
    want = conv(h, "score.conv", 1)
    # the projection of each window's mean, as a convolution whose kernel is constant
    for image, label in enumerate(y):
        kernel = weights["score.embedding.weight"][label][:, None, None].expand(-1, 4, 4) / 16
        want[image] += F.conv2d(h[image : image + 1], kernel[None], padding=1)[0]
    got = network.outputs(x, y)
    torch.testing.assert_close(got.scores, want.flatten(1))
    torch.testing.assert_close(got.features, h.mean((2, 3)))


def test_a_penalty_takes_instance_norm():
    assert patchgan(per_sample=False).has_batch_statistics
    assert not patchgan(per_sample=True).has_batch_statistics


def test_oblong_images():
    network = patchgan([32, 64], n_layers=2)
    assert network(torch.randn(2, 3, 32, 64)).shape == (2, 6 * 14)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (16, {}, "n_layers=3 cannot work at image_size=16: .* nearest is 24"),
        (64, {"n_layers": 6}, "n_layers=6 must be from 0 to 5"),
        (64, {"head": "unconditional"}, "takes no head"),
    ],
)
def test_refusals(size, options, message):
    with pytest.raises(ZooError, match=message):
        patchgan(size, **options)
