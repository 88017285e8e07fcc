"""What a user's own trainer, loader and weights may ask of a GAN."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

import zoo
from zoo.core.errors import ZooError


def make(**options):
    torch.manual_seed(0)
    return zoo.GAN("mlp", "mlp", "hinge", image_size=8, channels=1, **options)


def fit(gan, batches, **settings):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(gan, torch.utils.data.DataLoader(batches, batch_size=None))
    return trainer


def weights(*networks):
    return [p.detach().clone() for network in networks for p in network.parameters()]


IMAGES = torch.zeros(4, 1, 8, 8)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_precision_of_the_weights_is_refused_before_they_change(precision):
    gan = make()
    sentence = f"precision={precision} is not one of 32-true, bf16-mixed, 16-mixed, 64-true;"
    with pytest.raises(ZooError, match=sentence):
        fit(gan, [IMAGES], max_steps=1, precision=precision)
    assert {p.dtype for p in gan.parameters()} == {torch.float32}
    fit(gan, [IMAGES], max_steps=1, precision="bf16-mixed")
    assert gan.sample(2).shape == (2, 1, 8, 8)


def test_double_precision_is_for_exact_comparisons():
    gan = make()
    fit(gan, [IMAGES], max_steps=1, precision="64-true")
    assert {p.dtype for p in gan.parameters()} == {torch.float64}
    assert gan.sample(2).dtype == torch.float32


FALL = {"start": 2e-4, "end": 0.0, "images": 8}
LINE = {"name": "linear", **FALL}
MOVING = {"name": "linear", "start": 1.0, "end": 0.0, "images": 8}


@pytest.mark.parametrize(
    "schedules",
    [
        {"lr_g": LINE, "regularizer.r1.gamma": MOVING},
        {"lr_g": LINE, "regularizer": {"r1": {"gamma": MOVING}}},
        {"lr_g": zoo.create("schedule", "linear", **FALL), "regularizer": {"r1.gamma": MOVING}},
    ],
    ids=["dotted", "nested", "objects"],
)
def test_schedules_are_given_as_in_the_configuration_or_as_objects(schedules):
    gan = make(regularizers="r1", schedules=schedules)
    trainer = fit(gan, [IMAGES] * 2, max_steps=2)
    assert [*gan.schedules] == ["lr_g", "regularizer.r1.gamma"]
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-4)
    assert gan.regularizers[0].gamma.item() == 0.5


@pytest.mark.parametrize(
    ("schedules", "sentence"),
    [
        ({"lr_g": {"name": "linaer"}}, "lr_g: there is no schedule 'linaer'.* 'linear'"),
        ({"lr_g": {"linear": 5}}, "lr_g.linear=5 is not a schedule; give, for instance"),
        ({"lr_g": lambda images: 1e-4}, "lr_g=.* is not a schedule; give, for instance"),
        ({"lr_g": LINE | {"stop": 1}}, "lr_g: schedule 'linear' has no .*'stop'"),
    ],
)
def test_a_wrong_schedule_is_told(schedules, sentence):
    with pytest.raises(ZooError, match=f"model.schedules.*{sentence}"):
        make(schedules=schedules)


def test_two_augmentations_of_one_name_are_scheduled_each_by_its_own():
    twice = [{"name": "instance_noise"}, {"name": "instance_noise", "sigma": 0.3}]
    target = "augmentation.instance_noise"
    gan = make(augmentations=twice, schedules={f"{target}.sigma": MOVING})
    fit(gan, [IMAGES] * 2, max_steps=2)
    assert [float(a.sigma) for a in gan.augmentations] == [0.5, 0.3]
    gan = make(augmentations=twice, schedules={f"{target}_2.sigma": MOVING})
    fit(gan, [IMAGES] * 2, max_steps=2)
    assert [float(a.sigma) for a in gan.augmentations] == [0.1, 0.5]


def test_the_second_of_two_augmentations_that_changes_nothing_is_named():
    resting = {"name": "ada", "adaptive": False}
    with pytest.raises(ZooError, match="augmentation ada_2 changes nothing"):
        make(augmentations=[resting, resting], schedules={"augmentation.ada.p": MOVING})


def test_lookahead_begins_at_weights_that_a_user_loads():
    ahead = {"name": "lookahead", "every": 2}
    gan = make(regularizers=ahead, lr_g=1e-9, lr_d=1e-9)
    torch.manual_seed(1)
    own = zoo.create("generator", "mlp", image_size=8, channels=1, latent_dim=100)
    gan.generator.load_state_dict(own.state_dict())
    fit(gan, [IMAGES] * 2, max_steps=2)
    torch.testing.assert_close(weights(gan.generator), weights(own), rtol=0, atol=1e-6)


def test_lookahead_keeps_its_slow_weights_when_training_goes_on():
    gan = make(regularizers={"name": "lookahead", "every": 9})
    before = weights(gan.generator, gan.discriminator)
    for _ in range(2):
        fit(gan, [IMAGES] * 2, max_steps=2)
        assert not torch.equal(before[0], next(gan.generator.parameters()))
        torch.testing.assert_close([*gan.regularizers[0].buffers()], before, rtol=0, atol=0)


LABELS = torch.arange(4)


@pytest.mark.parametrize(
    ("head", "batch", "sentence"),
    [
        ("projection", (IMAGES, LABELS + 7), "has labels from 7 to 10: .* from 0 to 9"),
        ("acgan", (IMAGES, LABELS - 1), "has labels from -1 to 2: .* from 0 to 9"),
        ("multi_hinge", (IMAGES, LABELS * 9), "has labels from 0 to 27: .* from 0 to 9"),
        ("projection", (IMAGES[..., :7], LABELS), r"has the shape \(4, 1, 8, 7\), but"),
    ],
)
def test_what_is_wrong_with_a_later_batch_is_told_as_for_the_first(head, batch, sentence):
    gan = make(num_classes=10, head=head)
    with pytest.raises(ZooError, match=f"^batch 2 of epoch 1 {sentence}"):
        fit(gan, [(IMAGES, LABELS), batch], max_steps=2)


def test_an_error_that_is_not_the_batchs_stays_as_it_is(capsys):
    gan = make()
    gan.generator.register_forward_hook(lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="must match the size"):
        fit(gan, [IMAGES + 0.7], max_steps=1)
    assert capsys.readouterr().out.count("note: ") == 1
