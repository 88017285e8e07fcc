"""A run whose newest checkpoint is damaged goes on from the one before."""

from __future__ import annotations

import pytest
import torch
from helpers import make_checkpoint
from helpers_train import assert_same_training, read, train

from zoo.cli.resume import check_no_training, ends_run, open_training
from zoo.core.errors import ZooError
from zoo.inference.locate import locate

STEPS = 10


def make_run(folder):
    """A run's folder with the last two checkpoints of a training."""
    for name, seen in (("previous", 320), ("last", 640)):
        file = make_checkpoint(folder / "checkpoints" / f"{name}.ckpt", images_seen=seen)
        content = torch.load(file, weights_only=True)
        content["zoo"]["step"] = seen // 16
        torch.save(content, file)
    return folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "previous.ckpt"


def truncated(data):
    return data[: len(data) // 2]


def flipped(data):
    place = len(data) // 2
    wrong = bytes(byte ^ 1 for byte in data[place : place + 256])  # entries are padded to 64 bytes
    return data[:place] + wrong + data[place + len(wrong) :]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda data: b""])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(tmp_path, capsys, damage):
    last, previous = make_run(tmp_path)
    assert open_training(str(tmp_path))[0] == last
    assert not ends_run(previous, open_training(str(previous))[1])
    last.write_bytes(damage(last.read_bytes()))
    file, info = open_training(str(tmp_path))
    assert (file, info["images_seen"]) == (previous, 320)
    assert f"{last} is damaged" in capsys.readouterr().out
    assert ends_run(file, info)
    check_no_training(tmp_path, str(previous))  # the damaged one may be replaced
    with pytest.raises(ZooError, match="holds a training"):
        check_no_training(tmp_path, None)


def test_a_lost_checkpoint(tmp_path):
    last, previous = make_run(tmp_path)
    last.unlink()
    assert locate(tmp_path) == previous
    file, info = open_training(str(tmp_path))
    assert file == previous
    assert ends_run(file, info)


def test_both_damaged(tmp_path):
    for file in make_run(tmp_path):
        file.write_bytes(b"")
    with pytest.raises(ZooError, match=r"previous\.ckpt is damaged"):
        open_training(str(tmp_path))


def test_a_training_goes_on_to_the_same_weights(tmp_path):
    train(tmp_path / "whole", "trainer.max_epochs=3")
    run = tmp_path / "run"
    train(run, "trainer.max_epochs=2")
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous.ckpt"
    assert (read(previous)["zoo"]["step"], read(last)["zoo"]["step"]) == (STEPS, 2 * STEPS)
    assert sorted(p.name for p in last.parent.iterdir()) == ["last.ckpt", "previous.ckpt"]
    last.write_bytes(flipped(last.read_bytes()))
    train(run, f"resume={run}", "trainer.max_epochs=3")
    assert_same_training(read(run), read(tmp_path / "whole"))
