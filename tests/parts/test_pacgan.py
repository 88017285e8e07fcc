"""PacGAN's networks for Stacked MNIST and for points of the plane, and its packing."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from zoo.core.errors import ZooError
from zoo.parts.discriminators.toy import Maxout
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep


def count(kind: str, name: str, **options: object) -> int:
    with torch.device("meta"):
        network = zoo.create(kind, name, **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("packs", [1, 2, 3, 4])
def test_published_counts_of_discriminators(packs):
    """networks.md, sections 12 and 13: only the first layer grows with the pack."""
    stacks, points = (
        {"image_size": 28, "channels": 3 * packs},
        {"image_size": 1, "channels": 2 * packs},
    )
    assert count("discriminator", "pacgan", **stacks) == 4_310_401 + 4_800 * (packs - 1)
    half = count("discriminator", "pacgan", setting="unrolled", **stacks)
    assert half == 1_889 + 108 * (packs - 1)
    quarter = count("discriminator", "pacgan", setting="unrolled", base_channels=2, **stacks)
    assert quarter == 585 + 54 * (packs - 1)
    assert count("discriminator", "toy", **points) == 405_201 + 2_000 * (packs - 1)


def test_published_counts_of_generators():
    stacks, points = {"image_size": 28, "channels": 3}, {"image_size": 1, "channels": 2}
    assert count("generator", "pacgan", latent_dim=100, **stacks) == 4_514_819
    small = count("generator", "pacgan", latent_dim=256, setting="unrolled", **stacks)
    assert small == 287_875
    assert count("generator", "toy", latent_dim=2, **points) == 484_802
    assert count("generator", "toy", latent_dim=256, variant="unrolled", **points) == 49_666
    assert count("discriminator", "toy", variant="unrolled", **points) == 17_025


@pytest.mark.parametrize("setting", ["veegan", "unrolled"])
@pytest.mark.parametrize("size", [28, 32, 21, [16, 30]])
def test_maps_of_any_size(setting, size):
    options = {"image_size": size, "channels": 2, "setting": setting, "base_channels": 2}
    height, width = (size, size) if isinstance(size, int) else size
    g = zoo.create("generator", "pacgan", latent_dim=5, **options)
    images = g(torch.randn(3, 5))
    assert images.shape == (3, 2, height, width)
    assert zoo.create("discriminator", "pacgan", **options)(images).shape == (3,)


def test_maps_of_28_pixels_are_the_papers():
    g = zoo.create("generator", "pacgan", image_size=28, channels=3, latent_dim=5, base_channels=1)
    sides = []
    for layer in g.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _l, _i, out: sides.append(out.shape[-1]))
    g(torch.randn(2, 5))
    assert sides == [4, 7, 14, 28]
    assert [m.kernel_size for m in g.layers if isinstance(m, nn.ConvTranspose2d)] == [(5, 5)] * 4


def test_symmetric_padding_is_same_padding_in_a_mirror():
    """TensorFlow pads an even side of a 5x5 convolution of stride 2 by 1 before and 2 after."""
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 3, 14, 14).double(), torch.randn(4, 3, 5, 5).double()
    same = F.conv2d(F.pad(x, (1, 2, 1, 2)), kernel, stride=2)
    ours = F.conv2d(x.flip(2, 3), kernel.flip(2, 3), stride=2, padding=2)
    torch.testing.assert_close(ours.flip(2, 3), same)


@pytest.mark.parametrize(("setting", "smallest"), [("veegan", 3), ("unrolled", 5)])
def test_sizes_that_are_too_small(setting, smallest):
    for kind, extra in (("generator", {"latent_dim": 4}), ("discriminator", {})):
        with pytest.raises(ZooError, match=f"{kind} pacgan .* nearest is {smallest}"):
            zoo.create(kind, "pacgan", image_size=2, channels=1, setting=setting, **extra)


def test_discriminators_weights_are_cut_off_at_two_deviations():
    d = zoo.create("discriminator", "pacgan", image_size=28, channels=3)
    weight = d.layers[2].weight
    assert weight.abs().max() <= 0.04
    assert weight.std().item() == pytest.approx(0.02 * 0.879656, rel=0.02)  # truncated at 2


def test_maxout_is_the_largest_of_its_pieces():
    torch.manual_seed(0)
    layer = Maxout(3, 4, pieces=5).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    pieces = torch.stack(
        [x @ layer.weight[i::5].T + layer.bias[i::5] for i in range(5)]
    )  # outputs lie together with their pieces: rows 5 o + i
    torch.testing.assert_close(layer(x), pieces.amax(0))


def test_unrolled_toys_are_orthogonal_with_their_gain():
    g = zoo.create("generator", "toy", image_size=1, channels=2, latent_dim=256, variant="unrolled")
    weight = g.layers[2].weight.double()
    torch.testing.assert_close(
        weight @ weight.T, 1.96 * torch.eye(128, dtype=torch.float64), rtol=1e-4, atol=1e-4
    )


def test_packing_says_how_many_images_make_a_pack():
    assert zoo.create("regularizer", "packing").packs == 2
    made = zoo.create("regularizer", "packing", images=4)
    assert made.packs == 4
    assert not made.gives_penalty
    with pytest.raises(ZooError, match="packing': images=0"):
        zoo.create("regularizer", "packing", images=0)


@pytest.mark.parametrize(("name", "size"), [("toy", 1), ("pacgan", 28)])
def test_a_discriminator_of_packs_learns_the_collapse_that_one_of_images_cannot_see(name, size):
    """Pairs of equal images against pairs of different ones: no single image tells them apart."""
    torch.manual_seed(0)
    small = {"width": 32} if name == "toy" else {"base_channels": 4}
    d = zoo.create("discriminator", name, image_size=size, channels=2, **small)
    optimizer = torch.optim.Adam(d.parameters(), 2e-3)

    def pair(same: bool) -> torch.Tensor:
        modes = torch.randint(0, 2, (64, 2)).float() * 2 - 1
        modes[:, 1] = modes[:, 0] if same else modes[:, 1]
        return modes[:, :, None, None].expand(64, 2, size, size)

    for _ in range(60):
        loss = F.softplus(-d(pair(same=False))).mean() + F.softplus(d(pair(same=True))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert d(pair(same=False)).mean() > d(pair(same=True)).mean() + 1


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "told"),
    [(7, 1, "cannot be packed by 2"), (6, 2, "cannot be packed by 2"), (8, 3, "accumulate=3")],
)
def test_an_open_pack_or_piece_is_refused_before_the_first_batch(batch_size, accumulate, told):
    data = zoo.create("datamodule", "gaussians", batch_size=batch_size)
    shape = {"image_size": data.image_size, "channels": data.channels}
    gan = zoo.GAN("toy", "toy", "bce", "packing", **shape, accumulate=accumulate)
    drawn = []
    data.on_before_batch_transfer = lambda batch, index: drawn.append(index)
    with pytest.raises(ZooError, match=told):
        pl.Trainer(max_steps=1, accelerator="cpu", logger=False, limit_val_batches=0).fit(
            gan, datamodule=data
        )
    assert not drawn


@pytest.mark.parametrize(("images", "accumulate"), [(3, 1), (5, 1), (6, 2)])
def test_a_pack_is_never_of_reals_and_fakes(images, accumulate):
    """Three reals and three fakes are three packs in number, of which one would be of both."""
    shape = {"image_size": 8, "channels": 1}
    networks = [
        zoo.create("generator", "mlp", **shape, latent_dim=4, width=8),
        zoo.create("discriminator", "mlp", **(shape | {"channels": 2}), width=8),
    ]
    step = AdversarialStep(
        *networks,
        zoo.create("loss", "bce"),
        *(adam(n.parameters(), 1e-3, (0.5, 0.9)) for n in networks),
        regularizers=[zoo.create("regularizer", "packing")],
        accumulate=accumulate,
    )
    size = images // accumulate
    with pytest.raises(ZooError, match=f"a batch of {size} images, .* cannot be packed by 2"):
        step(torch.zeros(images, 1, 8, 8), None, 0)
    step(torch.zeros(4 * accumulate, 1, 8, 8), None, 0)
