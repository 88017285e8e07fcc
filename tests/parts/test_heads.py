"""Heads with classifiers and embeddings: vectors made by hand, and who pays which term."""

from __future__ import annotations

import pytest
import torch
import torch.multiprocessing as multiprocessing
from torch import nn
from two_processes import CLASSES, EMBEDDING, PROXY, TWIN, losses, process, tensor

import zoo.registry as registry
from zoo.contracts.head import Trunk
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.layers.resnet import ConditionalAdaIN
from zoo.parts.heads import class_losses as of

NAMES = ["acgan", "adcgan", "tacgan", "contragan", "reacgan", "multi_hinge"]


LOGITS = tensor((2, 0.5, -1), (0.2, 0.4, 1.1), (-0.3, 1.2, 0.1), (0, 0.7, -0.4))
LABELS = torch.tensor([0, 2, 1, 0])
ADC = tensor((1.2, -0.3, 0.4, 0.1), (-0.5, 0.8, 1, 0.2), (0.3, 0.3, -0.2, 0.9))
ADC_LABELS = torch.tensor([0, 1, 1])
HINGE = tensor((2, 0.5, -1, 0.3), (0.2, 0.4, 1.1, -0.5), (-0.3, 1.2, 0.1, 0.9))


def make(name: str, features: int = 5, classes: int = 3, **options) -> nn.Module:
    torch.manual_seed(0)
    trunk = Trunk(features=features, num_classes=classes, image_size=8)
    return registry.create("head", name, trunk=trunk, **options).double()


def said(extra, features=None) -> DiscriminatorOutput:
    n = len(next(iter(extra.values())))
    scores = torch.zeros(n, dtype=torch.float64)
    return DiscriminatorOutput(scores, scores[:, None] if features is None else features, extra)


def update_of(side, real, fake, labels) -> Update:
    return Update(
        side=side, generator=None, discriminator=None, real=None, labels=labels,
        generated=GeneratorOutput(None, None, None, labels), real_output=real, fake_output=fake,
        discriminate=None, generate=None,
    )  # fmt: skip


def terms(head, real=None, fake=None, labels=LABELS):
    """What D and what G pay."""
    return [
        {k: v.item() for k, v in head.auxiliary(update_of(side, real, fake, labels)).items()}
        for side in ("discriminator", "generator")
    ]


# Vectors -----------------------------------------------------------------------------------------


def test_cross_entropies():
    assert of.cross_entropy(LOGITS, LABELS).item() == pytest.approx(0.657741, abs=1e-6)
    assert of.cross_entropy(LOGITS, LABELS, 0.1).item() == pytest.approx(0.727741, abs=1e-6)


def test_acgan():
    real, fake = said({"class_logits": LOGITS}), said({"class_logits": TWIN})
    of_real, of_fake = (of.cross_entropy(x, LABELS).item() for x in (LOGITS, TWIN))
    d, g = terms(make("acgan", weight_d=2.0, weight_g=3.0), real, fake)
    assert d["class_loss"] == pytest.approx(2 * 0.657741, abs=1e-5)
    assert g["class_loss"] == pytest.approx(3 * of_fake)
    d, _ = terms(make("acgan", both=True), real, fake)
    assert d["class_loss"] == pytest.approx(of_real + of_fake)
    d, _ = terms(make("acgan", both=True, smoothing=0.1), real, fake)  # on reals alone
    assert d["class_loss"] == pytest.approx(0.727741 + of_fake, abs=1e-6)


def test_tacgan():
    real = said({"class_logits": LOGITS, "twin_logits": LOGITS})
    fake = said({"class_logits": LOGITS, "twin_logits": TWIN})
    d, g = terms(make("tacgan"), real, fake)
    assert d["class_loss"] == pytest.approx(0.657741 + 1.114507, abs=1e-6)
    assert g["class_loss"] == pytest.approx(-0.456767, abs=1e-6)


def test_adcgan():
    real = said({"class_logits": ADC})
    d, g = terms(make("adcgan", classes=2), real, real, ADC_LABELS)
    assert d["class_loss"] == pytest.approx(1.198888 + 1.598888, abs=1e-6)
    assert g["class_loss"] == pytest.approx(-0.4, abs=1e-6)


def test_hinge_forms():
    assert of.class_hinge(LOGITS, LABELS).item() == pytest.approx(0.3375)
    assert of.class_lead(LOGITS, LABELS).item() == pytest.approx(-1.05)
    both = {"class_logits": LOGITS, "twin_logits": TWIN}
    d, g = terms(make("tacgan", form="hinge"), said(both), said(both))
    assert d["class_loss"] == pytest.approx(0.3375 + of.class_hinge(TWIN, LABELS).item())
    assert g["class_loss"] == pytest.approx(-1.05 - of.class_lead(TWIN, LABELS).item())
    d, g = terms(make("adcgan", classes=2, form="hinge"), said({"class_logits": ADC}),
                 said({"class_logits": ADC}), ADC_LABELS)  # fmt: skip
    real, fake = 2 * ADC_LABELS, 2 * ADC_LABELS + 1
    assert d["class_loss"] == pytest.approx(
        (of.class_hinge(ADC, real) + of.class_hinge(ADC, fake)).item()
    )
    assert g["class_loss"] == pytest.approx(
        (of.class_lead(ADC, real) - of.class_lead(ADC, fake)).item()
    )


@pytest.mark.parametrize(("targets", "want"), [((0, 1, 1), 0.8), ((3, 3, 3), 2.2)])
def test_crammer_singer(targets, want):
    assert of.crammer_singer(HINGE, torch.tensor(targets)).item() == pytest.approx(want)


def test_multi_hinge():
    features = tensor((0, 1, 0.5), (0.2, -0.2, 0)), tensor((0.5, 0.5, 0.5), (-0.8, 0.2, 1))
    head = make("multi_hinge")
    assert head.replaces_loss
    assert head.needs_real
    real, fake = (said({"class_logits": HINGE[:2]}, f) for f in features)
    y = torch.tensor([0, 1])
    d, g = terms(head, real, fake, y)
    hinge = of.crammer_singer(HINGE[:2], y).item()
    assert d == {"class_loss": pytest.approx(
        hinge + of.crammer_singer(HINGE[:2], torch.tensor([3, 3])).item())}  # fmt: skip
    assert g["class_loss"] == pytest.approx(0.05 * hinge)
    assert g["feature_matching"] == pytest.approx(0.266667, abs=1e-6)


@pytest.mark.parametrize(("temperature", "want"), [(1.0, 0.357280), (0.5, 0.248049)])
def test_2c(temperature, want):
    got = of.contrastive_2c(EMBEDDING, PROXY[CLASSES], CLASSES, temperature)
    assert got.item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(("temperature", "want"), [(0.5, 1.558464), (0.25, 2.425967)])
def test_d2d_ce(temperature, want):
    """The formula; shifting the negatives alone would give 1.313296 for the first."""
    got = of.cross_entropy_d2d(EMBEDDING, PROXY[CLASSES], CLASSES, temperature, 0.98)
    assert got.item() == pytest.approx(want, abs=1e-6)


def test_d2d_ce_leaves_easy_pairs_alone_and_bears_a_batch_of_one_class():
    e = torch.nn.functional.normalize(tensor((1, 0), (1, 0.01), (-1, 0)), dim=1).requires_grad_()
    y = torch.tensor([0, 0, 1])
    proxy = tensor((1, 0), (1, 0), (-1, 0))
    loss = of.cross_entropy_d2d(e, proxy, y, 0.5, 0.98)
    (gradient,) = torch.autograd.grad(loss, e)
    assert not gradient.any()
    loss = of.cross_entropy_d2d(e, proxy, torch.zeros_like(y), 0.5, 0.98)
    (gradient,) = torch.autograd.grad(loss, e)
    assert loss.item() == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("contragan", lambda e, p, y: of.contrastive_2c(e, p, y, 1.0)),
        ("reacgan", lambda e, p, y: 0.5 * of.cross_entropy_d2d(e, p, y, 0.5, 0.98)),
    ],
)
def test_embeddings_lie_on_the_sphere_and_each_side_pays_its_own_batch(name, form):
    head = make(name, width=7)
    y = torch.tensor([0, 2, 1, 0])
    real, fake = (head.outputs(torch.randn(4, 5, dtype=torch.float64), y) for _ in range(2))
    for output in (real, fake):
        for value in output.extra.values():
            assert value.shape == (4, 7)
            torch.testing.assert_close(value.norm(dim=1), torch.ones(4).double())
    d, g = terms(head, real, fake, y)
    for got, output in ((d, real), (g, fake)):
        want = form(output.extra["embedding"], output.extra["proxy"], y).item()
        assert got == {"class_loss": pytest.approx(want)}


# What all of them keep to ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_same_by_both_ways_and_labels_are_needed(name):
    head = make(name)
    features, y = torch.randn(4, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    output = head.outputs(features, y)
    assert output.scores.shape == (4,)
    torch.testing.assert_close(output.scores, head(features, y))
    assert torch.equal(output.features, features)
    assert all(len(v) == 4 for v in output.extra.values())
    with pytest.raises(ZooError, match="needs labels"):
        make(name, classes=0)


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_learn(name):
    """D's term reaches every weight of the head but the score's; G's reaches its images."""
    head = make(name)
    y = torch.tensor([0, 1, 2, 0])
    inputs = [torch.randn(4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    real, fake = (head.outputs(x, y) for x in inputs)
    sum(head.auxiliary(update_of("discriminator", real, fake, y)).values()).backward()
    for parameter, weight in head.named_parameters():
        assert parameter.startswith("score.") or weight.grad.any(), parameter
    real, fake = (head.outputs(x, y) for x in inputs)
    inputs[1].grad = None
    sum(head.auxiliary(update_of("generator", real, fake, y)).values()).backward()
    assert inputs[1].grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_fp32_under_autocast(name):
    head = make(name).float()
    y = torch.tensor([0, 1, 2, 0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        real, fake = (head.outputs(torch.randn(4, 5), y) for _ in range(2))
        for side in ("discriminator", "generator"):
            for value in head.auxiliary(update_of(side, real, fake, y)).values():
                assert value.dtype == torch.float32
                assert value.isfinite()


def test_bad_options():
    for options in ({"margin": 1.5}, {"temperature": 0.0}, {"width": 0}, {"weight": -1.0}):
        (option,) = options
        with pytest.raises(ZooError, match=option):
            make("reacgan", **options)
    with pytest.raises(ZooError, match="smoothing=1"):
        make("acgan", smoothing=1.0)


# Conditional norms of generators -------------------------------------------------------------


def test_conditional_adain_vector():
    """(1, 2, 3, 6) with gamma = 0.5 and beta = -1."""
    norm = ConditionalAdaIN(1, 2).double()
    maps = torch.tensor([1.0, 2, 3, 6], dtype=torch.float64).view(1, 1, 2, 2)
    with torch.no_grad():
        norm.scale_and_shift.weight[1] = torch.tensor([0.5, -1.0])
    got = norm(maps, torch.tensor([1])).flatten().tolist()
    assert got == pytest.approx([-2.603565, -1.801783, -1.0, 1.405348], abs=1e-6)
    plain = norm(maps, torch.tensor([0]))
    torch.testing.assert_close(plain, nn.functional.instance_norm(maps))


def test_a_generator_with_adain_makes_each_image_by_itself():
    torch.manual_seed(0)
    shape = {"image_size": 16, "channels": 3, "latent_dim": 6, "base_channels": 8}
    made = registry.create("generator", "resnet", **shape, num_classes=4, conditioning="adain")
    batch_norm = registry.create("generator", "resnet", **shape, num_classes=4)
    counts = [sum(p.numel() for p in g.parameters()) for g in (made, batch_norm)]
    assert counts[0] == counts[1]
    for block in made.blocks:
        for norm in (block.norm1, block.norm2):
            assert isinstance(norm, ConditionalAdaIN)
            nn.init.normal_(norm.scale_and_shift.weight)
    z, y = torch.randn(5, 6), torch.arange(5) % 4
    made.eval()  # the last norm is batch norm
    torch.testing.assert_close(made(z, y)[:2], made(z[:2], y[:2]))
    assert not torch.allclose(made(z[:1], y[:1]), made(z[:1], y[1:2]))
    plain = registry.create("generator", "resnet", **shape, conditioning="adain")
    assert not any(isinstance(m, ConditionalAdaIN) for m in plain.modules())


# Two processes -----------------------------------------------------------------------------------


def test_two_processes_are_one_with_the_whole_batch(tmp_path):
    """The mean of both losses, and of their gradients, is that of all four images at once."""
    multiprocessing.spawn(process, (str(tmp_path),), nprocs=2)
    weight = torch.eye(3, dtype=torch.float64).requires_grad_()
    for got, loss in zip(
        torch.load(tmp_path / "found.pt"), losses(weight, slice(None)), strict=True
    ):
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
        torch.testing.assert_close(got, torch.cat((loss.detach().view(1), gradient.flatten())))
