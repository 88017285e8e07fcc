"""DiffAugment against its definition."""

from __future__ import annotations

import pytest
import torch

import zoo.registry as registry
from zoo.core.errors import ZooError


def diffaugment(**options):
    chosen = {"color": False, "translation": 0.0, "cutout": 0.0} | options
    return registry.create("augmentation", "diffaugment", **chosen)


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(64, 3, 16, 16) * 2 - 1


def test_off_is_the_identity(images):
    assert torch.equal(diffaugment()(images), images)


def test_color(images):
    out = diffaugment(color=True)(images)
    # Saturation and contrast keep the mean of an image; brightness moves it by up to one half.
    shift = out.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert shift.abs().max() <= 0.5
    assert shift.std() == pytest.approx(1 / 12**0.5, rel=0.3)
    gray, gray_out = (x.mean(1) - x.mean((1, 2, 3))[:, None, None] for x in (images, out))
    contrast = (gray_out / gray).flatten(1)
    torch.testing.assert_close(contrast, contrast[:, :1].expand_as(contrast), rtol=1e-2, atol=1e-2)
    assert contrast.min() > 0.49
    assert contrast.max() < 1.51
    hue, hue_out = (x - x.mean(1, keepdim=True) for x in (images, out))
    both = (hue_out / hue).flatten(1).median(1).values
    saturation = both / contrast.median(1).values
    assert saturation.min() > -0.01
    assert saturation.max() < 2.01
    assert saturation.std() > 0.3  # each image has its own


def test_translation_moves_by_whole_pixels_and_fills_with_zero(images):
    out = diffaugment(translation=0.125)(images)
    shifts = set()
    for image, moved in zip(images, out, strict=True):
        found = []
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                want = torch.zeros_like(image)
                rows, columns = (
                    slice(max(dy, 0), 16 + min(dy, 0)),
                    slice(max(dx, 0), 16 + min(dx, 0)),
                )
                back = slice(max(-dy, 0), 16 - max(dy, 0)), slice(max(-dx, 0), 16 - max(dx, 0))
                want[:, rows, columns] = image[:, back[0], back[1]]
                if torch.equal(want, moved):
                    found.append((dy, dx))
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 15  # of 25


def test_cutout_zeroes_one_square_of_half_the_side(images):
    out = diffaugment(cutout=0.5)(images)
    cut = (out == 0).all(1)
    assert torch.equal(out[~cut[:, None].expand_as(out)], images[~cut[:, None].expand_as(out)])
    rows, columns = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.sum((1, 2)), rows * columns)  # a rectangle
    assert rows.max() == columns.max() == 8
    assert rows.min() >= 4  # the centre lies on the image
    assert cut.flatten(1).unique(dim=0).shape[0] > 30


@pytest.mark.parametrize(("share", "length", "centres"), [(0.5, 8, 17), (0.2, 3, 16)])
def test_an_odd_cutout_is_centred_on_any_pixel_and_an_even_one_on_any_edge(share, length, centres):
    torch.manual_seed(0)
    cut = diffaugment(cutout=share)(torch.ones(2000, 1, 16, 16))[:, 0] == 0
    starts = (centre - length // 2 for centre in range(centres))
    want = torch.tensor([[s <= i < s + length for i in range(16)] for s in starts])
    for seen in (cut.any(2), cut.any(1)):
        found, counts = seen.unique(dim=0, return_counts=True)
        assert torch.equal(found, want.unique(dim=0))
        chance = 1 / centres
        assert (counts / 2000 - chance).abs().max() < 6 * (chance * (1 - chance) / 2000) ** 0.5


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_whole_policy_is_differentiable_twice_and_seeded(channels):
    augment = registry.create("augmentation", "diffaugment")
    x = (torch.rand(3, channels, 8, 8) * 2 - 1).requires_grad_()
    torch.manual_seed(1)
    out = augment(x)
    torch.manual_seed(1)
    assert torch.equal(out, augment(x))
    assert out.shape == x.shape
    (gradient,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad != 0).any()


def test_gradient_is_that_of_the_moved_image(images):
    augment = diffaugment(translation=0.25, cutout=0.5)
    x = images[:2].double().requires_grad_()

    def seeded(z):
        torch.manual_seed(3)
        return augment(z)

    assert torch.autograd.gradcheck(seeded, x[:, :1, :6, :6].detach().requires_grad_())


def test_bad_options():
    with pytest.raises(ZooError, match=r"cutout=1.5"):
        diffaugment(cutout=1.5)
