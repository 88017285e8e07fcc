"""Samplers on generators whose density, data and best discriminator are known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.stats import chi2, kstest, norm
from torch import Tensor

import zoo
from zoo.core.errors import ZooError
from zoo.parts.samplers.calibration import isotonic, logistic
from zoo.parts.samplers.drs import acceptance, log_odds

DATA = torch.tensor([0.22, 0.03, 0.2, 0.05, 0.15, 0.05, 0.25, 0.05], dtype=torch.float64)
"""Shares of eight points of a ring in the data; a generator makes each as often."""
RING = len(DATA)


def point(z: Tensor) -> Tensor:
    """The point of a ring that latents (N, 1) from U[-1, 1) are made into."""
    return ((z[:, 0] + 1) / 2 * RING).long().clamp(max=RING - 1)


def ring(seed: int = 0, scale: float = 1.0, shift: float = 0.0, classes: int = 0) -> zoo.Scene:
    """A scene of the ring; D is right, but for a scale and a shift of its scores.

    With two classes, the second's data are those of the first in the opposite order.
    """
    prior = zoo.create("latent", "uniform", dim=1)
    random = torch.Generator().manual_seed(seed)
    ratios = (DATA * RING).log()

    def score(images: Tensor, y: Tensor | None) -> Tensor:
        place = point(images.flatten(1))
        if y is not None:
            place = torch.where(y == 1, RING - 1 - place, place)
        return scale * ratios[place] + shift

    def reals() -> tuple[Tensor, Tensor | None]:
        places = torch.multinomial(DATA, 4000, replacement=True, generator=random)
        labels = torch.arange(4000) % 2 if classes else None
        if labels is not None:
            places = torch.where(labels == 1, RING - 1 - places, places)
        z = (places + 0.5) / RING * 2 - 1
        return z.float().view(-1, 1, 1, 1), labels

    return zoo.Scene(
        draw=lambda n: prior.sample(n, random),
        images=lambda z, y: z.view(-1, 1, 1, 1),
        score=score,
        reals=reals,
        random=random,
        latent=prior,
        num_classes=classes,
        batch_size=5000,
    )


def misfit(z: Tensor, shares: Tensor = DATA) -> float:
    """The probability of so large a chi-square if latents made points of these shares."""
    counts = torch.bincount(point(z), minlength=RING).double()
    expected = shares * len(z)
    return float(chi2.sf(((counts - expected).square() / expected).sum(), RING - 1))


EXACT = {
    "drs": {"percentile": None},
    "mh": {"calibration": "none", "start": "generated", "steps": 60},
    "mh from real images": {"calibration": "none", "steps": 60},
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_kept_has_the_datas_distribution(name):
    sampler = zoo.create("sampler", name.split()[0], **EXACT[name])
    scene = ring()
    drawn = scene.draw(4000)
    assert misfit(drawn) < 1e-10
    assert misfit(drawn, torch.full((RING,), 1 / RING)) > 0.01
    assert misfit(sampler(scene, drawn, None)) > 0.01


@pytest.mark.parametrize("name", EXACT)
def test_each_class_has_its_own(name):
    scene = ring(seed=1, classes=2)
    y = torch.arange(4000) % 2
    sampler = zoo.create("sampler", name.split()[0], **EXACT[name])
    refined = sampler(scene, scene.draw(len(y)), y)
    assert misfit(refined[y == 0]) > 0.01
    assert misfit(refined[y == 1], DATA.flip(0)) > 0.01


@pytest.mark.parametrize("calibration", ["logistic", "isotonic"])
def test_calibration_mends_a_discriminator_that_is_too_sure(calibration):
    """Scores three times too far, shifted: without calibration the chain is wrong."""
    options = {"steps": 60, "held_out": 4000}
    wrong = ring(seed=2, scale=3.0, shift=1.0)
    plain = zoo.create("sampler", "mh", calibration="none", **options)
    assert misfit(plain(wrong, wrong.draw(2000), None)) < 1e-10
    scene = ring(seed=2, scale=3.0, shift=1.0)
    mended = zoo.create("sampler", "mh", calibration=calibration, **options)
    assert misfit(mended(scene, scene.draw(2000), None)) > 1e-3


def test_a_percentile_lies_between_all_and_exact():
    """The lower it is, the more is kept: 0 keeps nearly all, 100 the least."""

    def distance(percentile: float | None) -> float:
        scene = ring(seed=3)
        sampler = zoo.create("sampler", "drs", percentile=percentile, burn_in=2000)
        counts = torch.bincount(point(sampler(scene, scene.draw(3000), None)), minlength=RING)
        return float((counts / 3000 - DATA).abs().sum())

    distances = [distance(p) for p in (0, 50, None)]
    assert distances == sorted(distances, reverse=True)


def test_rejection_by_the_vectors():
    """D̃ = (1, 2, 0) with a maximum of 2.5: methods.md, computed in float64."""
    lead = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64) - 2.5
    odds = log_odds(lead, 1e-6)
    torch.testing.assert_close(
        odds, torch.tensor([-1.247518, 0.432751, -2.41435]).double(), atol=2e-6, rtol=0
    )
    gamma = torch.quantile(odds, 0.95)
    assert gamma.item() == pytest.approx(0.264724, abs=2e-6)
    torch.testing.assert_close(
        acceptance(lead, gamma, 1e-6),
        torch.tensor([0.180607, 0.541908, 0.06422]).double(),
        atol=2e-6,
        rtol=0,
    )
    # Without gamma and eps it is exp(s - M): exact rejection.
    torch.testing.assert_close(acceptance(lead, 0.0, 1e-12), lead.exp(), atol=1e-9, rtol=0)
    assert acceptance(torch.zeros(1).double(), 0.0, 1e-6).item() == pytest.approx(1, abs=1e-5)


def test_a_discriminator_that_keeps_nothing_is_told():
    scene = ring()
    hopeless = zoo.Scene(
        **{
            **vars(scene),
            "score": lambda images, y: torch.where(
                torch.arange(len(images)) < (len(images) == 50), 400.0, 0.0
            ),
            "batch_size": 50,
        }
    )
    for percentile, advice in (
        (None, r"best: give a percentile \(95 is usual\)"),
        (100, r"best: give more than burn_in=50 \(100 for each .*\), or a lower percentile"),
    ):
        sampler = zoo.create("sampler", "drs", percentile=percentile, burn_in=50)
        with pytest.raises(ZooError, match=f"fewer than one image in 1,000 is kept.*{advice}"):
            sampler(hopeless, torch.zeros(3, 1), None)


def gaussian(slope: float, bend: float) -> zoo.Scene:
    """G(z) = z, z ~ N(0, 1), and log p_data / p_G = slope x - bend x²/2."""
    random = torch.Generator().manual_seed(0)
    return zoo.Scene(
        draw=lambda n: torch.randn(n, 1, generator=random),
        images=lambda z, y: z.view(-1, 1, 1, 1),
        score=lambda x, y: (slope * x - bend * x.square() / 2).flatten(),
        reals=lambda: (torch.zeros(1, 1, 1, 1), None),
        random=random,
        latent=zoo.create("latent", "normal", dim=1),
        num_classes=0,
        batch_size=5000,
    )


def test_rejection_remembers_the_best_score_so_far():
    """It rises from 0 to log 4 in the first round: a score of s then passes below exp(s) / 4."""
    best = math.log(4)
    drawn = iter([[0.0, 0.0], [0.1], [-0.1]])
    uniforms = iter([[0.5, 0.5], [0.3], [0.2]])
    scene = zoo.Scene(
        **{**vars(gaussian(1, 0)), "draw": lambda n: torch.tensor(next(drawn)).view(n, 1)}
    )
    object.__setattr__(scene, "uniform", lambda n: torch.tensor(next(uniforms)).double().view(n))
    sampler = zoo.create("sampler", "drs", percentile=None, burn_in=2)
    kept = sampler(scene, torch.tensor([[best], [0.0]]), None)
    torch.testing.assert_close(kept, torch.tensor([[best], [-0.1]]))


def test_latents_walk_to_the_posterior():
    """p(z) e^s is N(slope / (1 + bend), 1 / (1 + bend)): N(0.5, 1/4) here."""
    scene = gaussian(2.0, 3.0)
    z = zoo.create("sampler", "ddls", steps=300)(scene, scene.draw(3000), None)
    # The step of 0.01 leaves a variance of 1 / (4 - 4² · 0.01 / 4), 1 % too large.
    assert kstest(z[:, 0].numpy(), norm(0.5, math.sqrt(1 / 3.96)).cdf).pvalue > 0.01


def test_one_step_by_the_vector():
    z, slope = torch.tensor([[0.5, -0.2, 0.1]]), torch.tensor([0.3, 0.4, 0.0])
    scene = zoo.Scene(
        **{
            **vars(gaussian(0, 0)),
            "score": lambda x, y: x.flatten(1) @ slope,
            "images": lambda z, y: z,
        }
    )
    stepped = zoo.create("sampler", "ddls", rate=0.01, steps=1, noise=0.0)(scene, z, None)
    torch.testing.assert_close(stepped, torch.tensor([[0.499, -0.197, 0.0995]]))
    uniform = zoo.Scene(**{**vars(scene), "latent": zoo.create("latent", "uniform", dim=3)})
    with pytest.raises(ZooError, match="log density of uniform latents has no gradient to follow"):
        zoo.create("sampler", "ddls")(uniform, z, None)


def test_acceptance_of_a_chain_by_the_vector():
    """Old logit 1, new 0.4: exp(-0.6) = 0.548812; from D = sigmoid(s) by the paper's formula."""
    uniforms = iter([torch.tensor([0.548811]), torch.tensor([0.548813])])
    for expected in (9.0, 0.0):  # just below it and just above it
        scores = iter([1.0, 0.4])
        scene = zoo.Scene(
            **{
                **vars(gaussian(0, 0)),
                "draw": lambda n: torch.full((n, 1), 9.0),
                "score": lambda x, y, scores=scores: torch.full((len(x),), next(scores)),
            }
        )
        object.__setattr__(scene, "uniform", lambda n: next(uniforms).double())
        sampler = zoo.create("sampler", "mh", calibration="none", start="generated", steps=1)
        assert sampler(scene, torch.zeros(1, 1), None).item() == expected
    d, e = torch.sigmoid(torch.tensor([1.0, 0.4])).tolist()
    assert (1 / d - 1) / (1 / e - 1) == pytest.approx(0.548812, abs=1e-6)


def test_logistic_calibration_finds_the_ratio_of_two_normals():
    """N(1, 1) against N(-1, 1): log ratio 2 s."""
    g = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(20_000, generator=g) + m for m in (1, -1))
    found = logistic(real, fake)
    s = torch.tensor([-1.0, 0.0, 1.0])
    torch.testing.assert_close(found(s), 2 * s.double(), atol=0.1, rtol=0)
    few = logistic(torch.tensor([3.0, 4.0]), torch.tensor([-3.0, -4.0, -5.0]))
    assert few(torch.tensor([10.0])).isfinite().all()  # parted scores


def test_isotonic_calibration_is_the_least_squares_fit():
    """Against all monotone fits on a fine grid, on few points with ties."""
    real, fake = torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([0.0, 0.4, 0.6, 0.5])
    known = torch.cat((real, fake)).unique()
    share = torch.sigmoid(isotonic(real, fake)(known)).tolist()
    assert share == sorted(share)

    def cost(values):
        of = dict(zip(known.tolist(), values, strict=True))
        pairs = [(s, 1.0) for s in real.tolist()] + [(s, 0.0) for s in fake.tolist()]
        return sum((of[s] - t) ** 2 for s, t in pairs)

    grid = [i / 12 for i in range(2, 11)]  # from 1/6, the least share of four images, to 5/6
    monotone = itertools.combinations_with_replacement(grid, len(known))
    assert cost(share) <= min(map(cost, monotone)) + 1e-9


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bce", {}),
        ("bce", {"smoothing": 0.1}),
        ("minimax", {}),
        ("lsgan", {}),
        ("lsgan", {"a": -1.0, "b": 1.0, "c": 0.0}),
        *(
            ("f_gan", {"divergence": d})
            for d in (
                "gan", "jensen_shannon", "kl", "reverse_kl", "pearson", "squared_hellinger",
            )
        ),
    ],
)  # fmt: skip
def test_the_ratio_is_that_of_the_best_discriminator(name, options):
    """At the best score r l_real'(s) + l_fake'(s) = 0, whatever the loss of two terms."""
    loss = zoo.create("loss", name, **options)
    ratio = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
    low, high = torch.full_like(ratio, -6.0), torch.full_like(ratio, 6.0)
    if name == "lsgan":
        low, high = low * 0 + loss.a + 1e-3, high * 0 + loss.b - 1e-3
    elif name == "f_gan" and options["divergence"] == "pearson":
        low = low * 0 - 1.9
    for _ in range(100):  # bisection: the ratio rises with the score
        middle = (low + high) / 2
        told = loss.log_ratio(middle).exp()
        low, high = torch.where(told < ratio, middle, low), torch.where(told < ratio, high, middle)
    s = middle.requires_grad_()
    other = s.detach().clone().requires_grad_()
    down, up = torch.autograd.grad(loss.discriminator(s, other).sum(), (s, other))
    torch.testing.assert_close(ratio * down, -up, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "part", [("rpgan", {}), ("relativistic", {"center": "pair"}), ("dual_contrastive", {})]
)
def test_paired_losses_are_least_at_the_ratio(part):
    """On a discrete space: batches in the data's and the generator's shares, scores by place."""
    loss = zoo.create("loss", part[0], **part[1])
    data, model = torch.tensor([1, 3]), torch.tensor([2, 2])
    real = torch.repeat_interleave(torch.arange(2), data).repeat(4)
    fake = torch.repeat_interleave(torch.arange(2), model).repeat_interleave(4)
    pairs = torch.cartesian_prod(real.unique(), fake.unique())
    scores = (data / model).double().log().requires_grad_()
    if part[0] == "dual_contrastive":
        # One real among fakes: with K of them drawn anew the ratio is exact; here K = all.
        assert loss.log_ratio(scores) is scores
        return
    weight = (data[pairs[:, 0]] * model[pairs[:, 1]]).double()
    value = (weight * loss.discriminator(scores[pairs[:, 0]], scores[pairs[:, 1]])).sum()
    (slope,) = torch.autograd.grad(value, scores)
    torch.testing.assert_close(slope, torch.zeros(2).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["hinge", "wgan", "softmax", "relativistic", "gan_qp"])
def test_other_losses_say_that_they_give_none(name):
    assert zoo.create("loss", name).log_ratio(torch.zeros(3)) is None
