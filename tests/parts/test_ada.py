"""ADA and its kin: exact moves, vectors of the colours and bands, the controller, gradients."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from omegaconf import OmegaConf

import zoo.registry as registry
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.layers import ada
from zoo.registry.places import ROOT

TRANSFORMS = ["xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac", "brightness",
              "contrast", "lumaflip", "hue", "saturation", "bands", "noise", "cutout"]  # fmt: skip


def make(name: str = "ada", **options):
    return registry.create("augmentation", name, **options)


def only(*names: str):
    """A gate that is open for these transforms alone."""

    def on(name: str) -> torch.Tensor:
        return torch.full((64,), name in names)

    return on


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(64, 3, 16, 16, dtype=torch.float64) * 2 - 1


def test_all_gates_closed_is_the_identity(images):
    for change in (ada.blit, ada.geometry, ada.noise, ada.cutout):
        assert torch.equal(change(images, only()), images)
    torch.testing.assert_close(ada.color(images, only()), images)
    torch.testing.assert_close(ada.BandFilter().double()(images, only()), images)


@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_blit_flips_then_turns_then_shifts_by_whole_pixels(size):
    torch.manual_seed(0)
    images = torch.rand(64, 2, *size)
    got = ada.blit(images, only("xflip", "rotate90", "xint"))
    reach = [math.floor(0.125 * s + 0.5) for s in size]
    seen = set()
    for image, moved in zip(images, got, strict=True):
        found = []
        for flip, turn in itertools.product((False, True), range(4)):
            if turn % 2 and size[0] != size[1]:
                continue
            turned = torch.rot90(image.flip(2) if flip else image, turn, (1, 2))
            pad = (reach[1], reach[1], reach[0], reach[0])
            padded = torch.nn.functional.pad(turned[None], pad, mode="reflect")[0]
            for y, x in itertools.product(*(range(2 * r + 1) for r in reach)):
                if torch.equal(padded[:, y : y + size[0], x : x + size[1]], moved):
                    found.append((flip, turn, y, x))
        assert len(found) == 1
        seen.add(found[0][:2])
    assert len(seen) == (8 if size[0] == size[1] else 4)


def test_flip_then_shift_reads_where_the_paper_does():
    """After a flip and a shift by +1 the output at -1.5, from the centre, is the input at 2.5."""
    torch.manual_seed(0)
    row = torch.arange(16.0) - 7.5
    out = ada.blit(row.view(1, 1, 1, 16).repeat(64, 1, 1, 1), only("xflip", "xint"))[:, 0, 0]
    hits = (out[:, 1:] == row.flip(0)[:-1]).all(1)  # of the draws: a flip, and a shift by +1
    assert hits.any()
    assert (out[hits, row.tolist().index(-1.5)] == 2.5).all()


def ramps(height: int, width: int) -> torch.Tensor:
    """Images (64, 2, H, W) whose channels are the centred coordinates x and y."""
    y, x = torch.meshgrid(
        torch.arange(height).double() - (height - 1) / 2,
        torch.arange(width).double() - (width - 1) / 2,
        indexing="ij",
    )
    return torch.stack((x, y)).expand(64, 2, height, width)


@pytest.mark.parametrize("names", [("scale",), ("rotate",), ("aniso",), ("xfrac",)])
def test_geometry_reads_at_an_affine_map_of_the_place(names):
    """On coordinates as images a bilinear resampling is exact inside: the map can be read off."""
    torch.manual_seed(0)
    height, width = 40, 56
    image = ramps(height, width)
    out = ada.geometry(image, only(*names))
    middle = slice(height // 2 - 3, height // 2 + 3), slice(width // 2 - 3, width // 2 + 3)
    places = image[0][:, middle[0], middle[1]].flatten(1).T
    design = torch.cat((places, torch.ones(len(places), 1).double()), 1)
    maps = []
    for moved in out:
        target = moved[:, middle[0], middle[1]].flatten(1).T
        fit = torch.linalg.lstsq(design, target).solution
        if (design @ fit - target).abs().max() < 1e-6:  # did not leave the image
            maps.append(fit.T)
    found = torch.stack(maps)
    assert len(found) > 40
    linear, offset = found[:, :, :2], found[:, :, 2]
    a, b, c, d = linear.flatten(1).T
    if names == ("xfrac",):
        torch.testing.assert_close(linear, torch.eye(2).double().expand_as(linear))
        share = offset / torch.tensor([width, height])
        assert share.std().item() == pytest.approx(0.125, rel=0.35)
        return
    assert offset.abs().max() < 1e-6  # about the centre
    if names == ("rotate",):
        torch.testing.assert_close(linear.det(), torch.ones_like(a))
        torch.testing.assert_close((a, b), (d, -c))
        assert len({int(v > 0) for v in a}) == 2  # any angle
        return
    assert b.abs().max() < 1e-9
    assert c.abs().max() < 1e-9
    torch.testing.assert_close(d, a if names == ("scale",) else 1 / a)
    assert a.log2().std().item() == pytest.approx(0.2, rel=0.35)


def test_color_vectors():
    color = torch.tensor([0.2, 0.4, 0.9], dtype=torch.float64).view(1, 3, 1, 1)
    none = torch.zeros(1, 3, 1, dtype=torch.float64)
    for matrix, want in (
        (ada.luma_flip(torch.tensor([True]), color), (-0.8, -0.6, -0.1)),
        (ada.hue(torch.tensor([math.pi / 3], dtype=torch.float64)), (0.6, 0.1, 0.8)),
        (ada.saturation(torch.tensor([2.0], dtype=torch.float64), color), (-0.1, 0.3, 1.3)),
    ):
        assert ada.recolor(color, matrix, none).flatten().tolist() == pytest.approx(want)


def test_color_transforms_one_by_one(images):
    torch.manual_seed(0)
    shift = ada.color(images, only("brightness")) - images
    torch.testing.assert_close(shift, shift[:, :1, :1, :1].expand_as(shift))
    assert shift[:, 0, 0, 0].std().item() == pytest.approx(0.2, rel=0.3)
    factor = ada.color(images, only("contrast")) / images  # about 0, not about the mean
    torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(factor))
    assert factor[:, 0, 0, 0].log2().std().item() == pytest.approx(0.5, rel=0.3)
    gray, turned = images.mean(1), ada.color(images, only("hue"))
    torch.testing.assert_close(turned.mean(1), gray)
    torch.testing.assert_close(turned.square().sum(1), images.square().sum(1))
    flipped = ada.color(images, only("lumaflip"))
    torch.testing.assert_close(flipped.mean(1).abs(), gray.abs())
    assert 10 < (flipped.mean(1) * gray < 0).flatten(1).all(1).sum() < 54  # half of the open gates
    both = ada.color(images, only("brightness", "contrast"))
    slope = (both[:, 0, 0, 0] - both[:, 0, 0, 1]) / (images[:, 0, 0, 0] - images[:, 0, 0, 1])
    added = both[:, 0, 0, 0] / slope - images[:, 0, 0, 0]  # brightness first, then contrast
    assert added.std().item() == pytest.approx(0.2, rel=0.3)


def test_grey_images_keep_saturation_and_negate_under_luma_flip(images):
    grey = images[:, :1]
    torch.testing.assert_close(ada.color(grey, only("hue", "saturation")), grey)
    torch.manual_seed(0)
    flipped = ada.color(grey, only("lumaflip"))
    signs = (flipped / grey)[:, 0, 0, 0]
    assert {round(v) for v in signs.tolist()} == {-1, 1}


def test_the_filter_bank_parts_the_octaves():
    bank = ada.filter_bank()
    assert bank.shape == (4, 43)
    assert bank.sum(1).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-12)
    impulse = torch.zeros(43, dtype=torch.float64)
    impulse[21] = 1
    torch.testing.assert_close(bank.sum(0), impulse)
    torch.testing.assert_close(bank, bank.flip(1))
    # Against the power response of the Daubechies filter of four taps, at 64 frequencies.
    w = torch.arange(64, dtype=torch.float64) / 64 * math.pi

    def low(w):  # |H|^2 / 2 = cos^4(w/2) (1 + 2 sin^2(w/2))
        return torch.cos(w / 2) ** 4 * (1 + 2 * torch.sin(w / 2) ** 2)

    tap = torch.arange(43, dtype=torch.float64) - 21
    response = bank @ torch.cos(tap[:, None] * w)
    want = torch.stack(
        (
            low(w) * low(2 * w) * low(4 * w),
            low(w) * low(2 * w) * (1 - low(4 * w)),
            low(w) * (1 - low(2 * w)),
            1 - low(w),
        )
    )
    torch.testing.assert_close(response, want)


def test_band_gain_vectors():
    drawn = torch.ones(2, 4, dtype=torch.float64)
    drawn[0, 0] = drawn[1, 1] = 2
    want = [[1.099683, 0.549841, 0.549841, 0.549841], [0.901388, 1.802776, 0.901388, 0.901388]]
    torch.testing.assert_close(
        ada.band_gains(drawn), torch.tensor(want).double(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("size", [8, 48])
def test_a_constant_image_is_scaled_by_the_gain_of_the_lowest_band_on_each_axis(size):
    torch.manual_seed(0)
    out = ada.BandFilter().double()(torch.ones(64, 1, size, size).double(), only("bands"))
    torch.testing.assert_close(out, out[:, :, :1, :1].expand_as(out))
    torch.manual_seed(0)
    gains = ada.band_gains(torch.exp2(torch.randn(64, 4, dtype=torch.float64)))
    torch.testing.assert_close(out[:, 0, 0, 0], gains[:, 0].square())


def test_noise_and_cutout(images):
    torch.manual_seed(0)
    added = (ada.noise(images, only("noise")) - images).flatten(1).std(1)
    # |N(0, 0.1)| has the mean 0.1 sqrt(2 / pi).
    assert added.mean().item() == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.3)
    out = ada.cutout(images, only("cutout"))
    cut = (out == 0).all(1)
    assert torch.equal(out, images * ~cut[:, None])
    rows, columns = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(cut.sum((1, 2)), rows * columns)  # a rectangle
    assert rows.max() == columns.max() == 8
    assert rows.min() >= 4  # the centre lies on the image


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_transform_is_drawn_as_often_as_it_should(name):
    torch.manual_seed(0)
    augment = make(multipliers={name: 0.5}, p=0.8)
    x = torch.zeros(20000, 1)
    share = augment._gate(name, x).double().mean().item()
    want = 1 - math.sqrt(0.6) if name == "rotate" else 0.4
    assert share == pytest.approx(want, abs=0.02)
    if name == "rotate":  # two draws of it are together as likely as one of the others
        assert 1 - (1 - want) ** 2 == pytest.approx(0.4)
    if name not in make().multipliers:
        assert not make(p=1.0)._gate(name, x).any()


def test_sets_and_multipliers():
    assert list(make().multipliers) == TRANSFORMS[:12]
    assert list(make(set="bgcfnc").multipliers) == TRANSFORMS
    assert list(make(set="bg").multipliers) == TRANSFORMS[:7]
    assert list(make(set="bc").multipliers) == [*TRANSFORMS[:3], *TRANSFORMS[7:12]]
    assert list(make(set="cutout").multipliers) == ["cutout"]
    assert "xflip" not in make(multipliers={"xflip": 0}).multipliers
    with pytest.raises(ZooError, match="Did you mean 'lumaflip'"):
        make(multipliers={"lumaflp": 1})
    with pytest.raises(ZooError, match=r"multipliers\.hue=-1"):
        make(multipliers={"hue": -1})
    with pytest.raises(ZooError, match="'hi'} is not a mapping of float >= 0 or null"):
        make(multipliers={"hue": "hi"})
    assert make(multipliers={"hue": "5e-1"}).multipliers["hue"] == 0.5  # YAML reads 5e-1 as text
    options = OmegaConf.to_container(
        OmegaConf.load(ROOT / "configs/model/augmentation/ada_r3gan.yaml")
    )
    assert options.pop("defaults") == ["ada"]
    r3gan = make(**options)
    half = ("brightness", "contrast", "lumaflip", "hue", "saturation")
    want = {n: 0.5 if n in half else 1.0 for n in TRANSFORMS if n not in ("bands", "noise")}
    assert r3gan.multipliers == want
    assert not r3gan.adaptive


def update_of(real_scores, n=64, fake=None, real=None) -> Update:
    scores = torch.as_tensor(real_scores)
    said = DiscriminatorOutput(scores, scores[:, None], {})
    images = torch.zeros(n, 1, 1, 1) if real is None else real
    return Update(
        side="discriminator", generator=None, discriminator=None, real=images, labels=None,
        generated=GeneratorOutput(fake, None, None, None), real_output=said, fake_output=said,
        discriminate=None, generate=None,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["ada", "apa"])
def test_p_follows_the_sign_of_the_reals_scores(name):
    augment = make(name)
    sure, unsure = update_of([3.0, 2.0, 0.1, 1.0, -1.0] * 2), update_of([1.0, -1.0])
    step = 64 * 4 / 500_000
    for _ in range(3):
        augment.observe(update_of([1.0]))
        assert augment.p.item() == 0
    augment.observe(update_of([1.0]))
    assert augment.p.item() == pytest.approx(step)
    assert step == pytest.approx(0.000512)
    for _ in range(4):
        augment.observe(update_of([1.0, 1, 1, 1, 1, 1, 1, 1, -1]))
    assert augment.p.item() == pytest.approx(2 * step)
    for _ in range(16):  # falls, and stops at 0
        augment.observe(unsure)
    assert augment.p.item() == 0
    fast = make(name, speed=64.0, interval=1)
    for _ in range(3):
        fast.observe(update_of([1.0]))
    assert fast.p.item() == pytest.approx(3)  # no ceiling
    content, fixed = make(name, p=0.2), make(name, p=0.2, adaptive=False)
    for _ in range(content.interval):  # r = 0.6 exactly is no reason to move
        content.observe(sure)
        fixed.observe(update_of([1.0]))
    assert content.p.item() == fixed.p.item() == pytest.approx(0.2)


def test_the_controller_is_resumed():
    one = make(interval=2)
    for _ in range(5):
        one.observe(update_of([1.0]))
    two = make(interval=2)
    two.load_state_dict(one.state_dict())
    for augment in (one, two):
        augment.observe(update_of([1.0]))
    assert one.p == two.p > 0
    assert set(one.state_dict()) == {"p", "signs", "count"}


@pytest.mark.parametrize("name", ["ada", "apa"])
def test_a_schedule_may_put_its_tensor_in_place_of_p(name):
    augment = make(name, adaptive=False)
    value = torch.zeros(())
    augment.p = value
    images, fakes = torch.rand(8, 3, 8, 8), torch.rand(8, 3, 8, 8)
    change = augment if name == "ada" else lambda x: augment.reals(x, fakes)
    torch.testing.assert_close(change(images), images)
    value.fill_(1.0)
    assert not torch.allclose(change(images), images)


def test_apa_takes_the_fake_of_the_same_index():
    torch.manual_seed(0)
    apa = make("apa", p=0.25)
    real, fake = torch.arange(1000.0), -torch.arange(1000.0) - 1
    mixed = apa.reals(real.view(-1, 1, 1, 1), fake.view(-1, 1, 1, 1)).flatten()
    replaced = mixed < 0
    assert torch.equal(mixed, torch.where(replaced, fake, real))
    assert replaced.float().mean().item() == pytest.approx(0.25, abs=6 * (0.1875 / 1000) ** 0.5)
    assert torch.equal(apa(real), real)


def test_instance_noise():
    torch.manual_seed(0)
    images = torch.zeros(8, 3, 32, 32)
    assert make("instance_noise", sigma=0.1)(images).std().item() == pytest.approx(0.1, rel=0.05)
    noise = make("instance_noise")
    noise.sigma = torch.zeros(())
    assert torch.equal(noise(images), images)


def test_diffaugment_may_leave_the_colours_of_some_images_alone():
    torch.manual_seed(0)
    images = torch.rand(400, 3, 4, 4)
    options = {"translation": 0.0, "cutout": 0.0}
    changed = (make("diffaugment", color_probability=0.3, **options)(images) != images).flatten(1)
    share = changed.any(1).double().mean().item()
    assert share == pytest.approx(0.3, abs=6 * (0.21 / 400) ** 0.5)
    whole = make("diffaugment", **options)(images)
    assert (whole != images).flatten(1).any(1).all()
    with pytest.raises(ZooError, match=r"color_probability=2"):
        make("diffaugment", color_probability=2.0)


@pytest.mark.parametrize("group", ["blit", "geometry", "color", "filter", "noise", "cutout"])
def test_gradients_of_both_orders(group):
    augment = make(set=group, p=1.0).double()
    torch.manual_seed(0)
    x = torch.rand(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)

    def seeded(z):
        torch.manual_seed(7)
        return augment(z)

    assert torch.autograd.gradcheck(seeded, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: seeded(z).square(), x, fast_mode=True)


@pytest.mark.parametrize(("channels", "size"), [(1, (8, 8)), (3, (28, 28)), (5, (16, 32))])
def test_the_whole_set_in_low_precision_regions(channels, size):
    augment = make(set="bgcfnc", p=0.7)
    torch.manual_seed(0)
    images = torch.rand(4, channels, *size)
    outputs = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs.append(augment(images))
    assert torch.equal(*outputs)
    torch.manual_seed(1)
    low = augment(images.bfloat16())
    assert low.dtype == torch.bfloat16
    assert low.isfinite().all()
