"""Of several ends the earliest holds, and the advice after it leads on."""

from __future__ import annotations

import pytest
from helpers_train import configure, read, train

from zoo.training.ends import EPOCHS, longer, set_ends


@pytest.mark.parametrize(
    ("ends", "steps", "epochs"),
    [
        ({}, -1, EPOCHS),
        ({"max_epochs": -1}, -1, -1),
        ({"max_epochs": 3}, -1, 3),
        ({"max_images": 70}, 5, -1),
        ({"max_images": 70, "max_steps": 2}, 2, -1),
        ({"max_images": 70, "max_steps": 9}, 5, -1),
        ({"max_images": 70, "max_epochs": 3}, 5, 3),
        ({"max_steps": 7}, 7, -1),
        ({"max_time": "00:00:00:01"}, -1, -1),
    ],
)
def test_the_earliest_of_all_ends_holds(ends, steps, epochs):
    """In batches of 16: Lightning stops at the earlier of its steps and its epochs."""
    settings = dict(ends)
    set_ends(settings, images_per_step=16)
    assert (settings["max_steps"], settings["max_epochs"]) == (steps, epochs)


@pytest.mark.parametrize("experiment", ["stacked_mnist", "stacked_mnist_rpgan", "sngan"])
def test_two_steps_of_a_recipe_are_two(experiment):
    settings = configure(f"experiment={experiment}", "trainer.max_steps=2")[0].trainer
    settings = dict(settings)
    set_ends(settings, images_per_step=64)
    assert settings["max_steps"] == 2


def test_a_training_stops_at_the_earliest_end(tmp_path):
    train(tmp_path, "trainer.max_images=320", "trainer.max_epochs=3", "trainer.max_steps=2")
    assert read(tmp_path)["zoo"]["step"] == 2


@pytest.mark.parametrize(
    ("ends", "done", "advice"),
    [
        ({"max_epochs": 1}, (2, 20, 320), "trainer.max_epochs=4"),
        ({"max_epochs": 2}, (2, 20, 320), "trainer.max_epochs=4"),
        ({}, (12, 120, 1920), "trainer.max_epochs=24"),
        ({"max_steps": 3}, (2, 20, 320), "trainer.max_steps=40"),
        ({"max_images": 16}, (2, 20, 320), "trainer.max_images=640"),
        ({"max_images": 16, "max_epochs": 2}, (2, 20, 320),
         "trainer.max_epochs=4 trainer.max_images=640"),
        ({"max_time": "00:23:30:10"}, (2, 20, 320), "+trainer.max_time=01:23:00:20"),
        ({"max_time": {"hours": 1}}, (2, 20, 320), "+trainer.max_time=00:02:00:00"),
        ({"max_time": "00:01:00:00", "max_steps": 20}, (2, 20, 320), "trainer.max_steps=40"),
        ({"max_epochs": 9}, (2, 20, 320), "trainer.max_epochs=18"),
    ],
)  # fmt: skip
def test_the_advice_lies_behind_what_was_trained(ends, done, advice):
    assert longer(ends, *done) == advice


@pytest.mark.parametrize("end", ["max_epochs=1", "max_steps=3", "max_images=16"])
def test_the_advice_after_an_end_that_lies_behind_leads_on(tmp_path, capsys, end):
    """Also by more than an epoch, which Lightning refuses with a sentence of its own."""
    train(tmp_path, "trainer.max_epochs=3")
    assert train(tmp_path, f"resume={tmp_path}", f"trainer.{end}") == {}
    told = capsys.readouterr().out.splitlines()[-1]
    assert "nothing left to train" in told
    more = told.partition("add ")[2].removesuffix(" to train longer.").split()
    train(tmp_path, f"resume={tmp_path}", *more)
    assert read(tmp_path)["zoo"]["step"] > 30
