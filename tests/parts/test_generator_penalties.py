"""Penalties of G: vectors made by hand, and transport in a captured step."""

from __future__ import annotations

import pytest
import torch
from helpers_penalties import FAKE, REAL, G, Quadratic, Stretch, X, images_of, make, said, update_of
from tape import Recorder

import zoo.registry as registry
from zoo.contracts.outputs import GeneratorOutput
from zoo.core.errors import ZooError
from zoo.parts.regularizers.optimal_transport import OptimalTransport
from zoo.training.cuda_graph import GraphedStep
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep


def test_mode_seeking_vectors():
    z1 = torch.tensor([[1, 0, -1], [0.5, 0.5, 0]], dtype=torch.float64)
    z2 = torch.tensor([[0, 0, 1], [0.5, -0.5, 1]], dtype=torch.float64)
    update = update_of(
        fake_output=said(FAKE[:2]), fake=images_of(X), z=z1, side="generator",
        generate=lambda n, labels: GeneratorOutput(images_of(G), z2, z2, labels),
    )  # fmt: skip
    assert make("mode_seeking")(update).item() == pytest.approx(1.470567, abs=1e-6)
    bounded = make("mode_seeking", form="bounded")
    assert bounded(update).item() == pytest.approx(-0.766667, abs=1e-6)
    bounded = make("mode_seeking", form="bounded", limit=0.5, weight=8.0)
    assert bounded(update).item() == pytest.approx(-8 * (1 / 3 + 0.5) / 2)


@pytest.mark.parametrize(("distance", "want"), [("squared", 0.315), ("absolute", 0.266667)])
def test_feature_matching_vectors(distance, want):
    matching = make("feature_matching", distance=distance)
    assert matching.needs_real
    assert matching.sides == ("generator",)
    features = G.clone().requires_grad_()
    update = update_of(real_output=said(REAL[:2], X), fake_output=said(FAKE[:2], features))
    value = matching(update)
    assert value.item() == pytest.approx(want, abs=1e-6)
    value.backward()
    assert features.grad.any()


def test_top_k_vector_and_its_share():
    """The two best of four: the hinge loss of G is -(0.9 + 0.4) / 2."""
    top = make("top_k", share=0.5, decay=0.5, period=2)
    hinge = registry.create("loss", "hinge")
    values = []
    for _ in range(5):
        weights = top.weights(update_of(fake_output=said(FAKE), side="generator"))
        assert weights.mean().item() == pytest.approx(1)
        top.after_update(None)
        values.append((weights * hinge.generator(FAKE)).mean().item())
    whole, half = -FAKE.mean().item(), -0.65
    assert values == pytest.approx([whole, whole, half, half, half])


def test_top_k_ranks_images_by_their_mean_score():
    scores = torch.stack((FAKE, -2 * FAKE), 1)
    weights = make("top_k", share=0.25, decay=0.0).weights(update_of(fake_output=said(scores)))
    assert weights.tolist() == [4, 0, 0, 0]


def test_optimal_transport_by_hand():
    generator = Stretch(3.0)
    z = torch.randn(2, 3, dtype=torch.float64)
    critic = Quadratic()
    transport = OptimalTransport(weight=0.2, normalize=False)
    transport.setup(generator, None)
    value = transport(update_of(critic, fake=generator(z), z=z, side="generator"))
    torch.testing.assert_close(value, 0.2 * (2 * z).square().mean())
    wrong = registry.create("generator", "mlp", image_size=8, channels=1, latent_dim=5)
    with pytest.raises(ZooError, match=r"latent_dim=5 must be 64"):
        transport.setup(wrong, None)


def test_optimal_transport_brings_the_other_gradients_to_unit_rms():
    transport = OptimalTransport(weight=0.2).double()
    generator, squares = Stretch(3.0), []
    for factor in (1.0, 100.0, 100.0):  # whatever the scale of D's slopes
        z = torch.randn(2, 3, dtype=torch.float64)
        images = generator(z)
        update = update_of(Quadratic(factor), fake=images, z=z, side="generator")
        total = update.fake_output.scores.mean() + transport(update)
        got = []
        images.register_hook(got.append)  # after that of the regularizer
        total.backward()
        others = factor * images.detach() / 2  # of the mean of two scores
        squares.append(others.square().sum().item() * 6)
        average = squares[0]
        for square in squares[1:]:
            average = 0.9 * average + 0.1 * square
        own = 0.2 * 2 / 6 * (images - images_of(z)).detach()
        torch.testing.assert_close(got[0], others / average**0.5 + own)


def test_a_captured_step_with_transport_is_the_eager_one():
    """The images' gradient is changed inside the backward pass, on the device."""

    def made() -> AdversarialStep:
        torch.manual_seed(0)
        shape = {"image_size": 8, "channels": 1}
        generator = registry.create("generator", "mlp", **shape, latent_dim=64)
        discriminator = registry.create("discriminator", "mlp", **shape)
        return AdversarialStep(
            generator,
            discriminator,
            registry.create("loss", "afm", transport=0.2),
            adam(generator.parameters(), 1e-3, (0.5, 0.9)),
            adam(discriminator.parameters(), 1e-3, (0.5, 0.9)),
        )

    eager, step = made(), made()
    captured = GraphedStep(step, warmup=1, capture=Recorder())
    averages = []
    for index in range(5):
        torch.manual_seed(index)
        images = torch.rand(4, 1, 8, 8) * 2 - 1
        values = []
        for call in (eager, captured):
            torch.manual_seed(index)
            values.append(call(images, None, index))
        torch.testing.assert_close(*values, rtol=1e-3, atol=1e-4)
        averages.append(step.regularizers["optimal_transport"].average.item())
    assert captured.captured
    assert len(set(averages)) == 5


def test_transport_under_a_gradient_scaler_is_that_without():
    """Images get the same gradient, times the scale; an overflow leaves the average alone."""
    generator = Stretch(3.0)

    def gradients(scale, factors=(1.0, 7.0)):
        transport, found = OptimalTransport(weight=0.2).double(), []
        for factor in factors:
            images = generator(X)
            update = update_of(Quadratic(factor), fake=images, z=X, side="generator")
            update.loss_scale = torch.tensor(scale, dtype=torch.float64)
            total = update.fake_output.scores.mean() + transport(update)
            images.register_hook(found.append)  # after that of the regularizer
            (total * scale).backward()
        return found[-1] / scale, transport.average

    torch.testing.assert_close(gradients(2.0**16), gradients(1.0))
    plain = gradients(1.0)[1]
    overflow, average = gradients(2.0**16, (1.0, 7.0, float("inf")))
    assert not overflow.isfinite().any()  # for the scaler to see
    torch.testing.assert_close(average, plain)
    first, average = gradients(2.0**16, (float("inf"), 1.0, 7.0))
    torch.testing.assert_close((first, average), gradients(1.0))
