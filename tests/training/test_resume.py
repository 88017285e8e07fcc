"""Continuing a run reaches the weights, bit by bit, of the run that was never stopped."""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path

import pytest
import torch
from helpers_train import TINY, assert_same_training, configure, read, start, train, wait_until

from zoo.cli.jobs import run_task
from zoo.cli.resume import open_training
from zoo.core.errors import ZooError
from zoo.training.callbacks.checkpoints import Checkpoints

RICH = [
    "model/generator=dcgan",
    "model/discriminator=dcgan",
    "model.generator.base_channels=4",
    "model.discriminator.base_channels=4",
    "model/loss=hinge",
    "model/regularizer=[r1,lecam]",
    "model.regularizer.r1.every=4",
    "model/augmentation=[diffaugment]",
    "model.conditional=true",
    "model.d_steps=2",
    "model.lr_decay=linear",
    "model.clip_grad_norm=5",
    "datamodule.flip=true",
]
"""All that has a state of its own: batch norm, lazy and averaging penalties, random augmentation,
flips, a schedule."""

SMALL = [o for o in TINY if not o.startswith(("model/", "model.generator", "model.discriminator"))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 25 steps, which ends in the middle of its third epoch."""
    out = tmp_path_factory.mktemp("whole")
    train(out, "trainer.max_steps=25")
    return out


def _place(checkpoint: dict) -> tuple[int, int]:
    """Epochs done, and batches of the next one."""
    loop = checkpoint["loops"]["fit_loop"]
    batches = loop["epoch_loop.batch_progress"]["current"]["ready"]
    return loop["epoch_progress"]["current"]["processed"], batches


@pytest.mark.parametrize("stop", [7, 10, 20, 23])
def test_a_run_stopped_by_max_steps_continues_to_the_same_weights(whole, tmp_path, stop):
    """Within an epoch, at its end, and later; the epochs also end where they would have."""
    train(tmp_path, f"trainer.max_steps={stop}")
    assert read(tmp_path)["zoo"]["step"] == stop
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=25")
    assert_same_training(read(tmp_path), read(whole))
    assert _place(read(tmp_path)) == _place(read(whole)) == (2, 5)


def test_the_end_of_an_epoch_continues_as_one_where_steps_end_the_training(tmp_path, whole):
    """The next epoch is a whole one, whose end is evaluated and written down like any other."""
    train(tmp_path, "trainer.max_epochs=1")
    train(tmp_path, f"resume={tmp_path}", "trainer.max_epochs=null", "trainer.max_steps=25")
    assert_same_training(read(tmp_path), read(whole))
    assert _place(read(tmp_path)) == _place(read(whole)) == (2, 5)
    grids = [sorted(p.name for p in (run / "samples").iterdir()) for run in (tmp_path, whole)]
    assert grids[0] == grids[1]


def test_continuing_loses_nothing_of_the_old_run(whole, tmp_path):
    train(tmp_path, "trainer.max_steps=8")
    old = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    train(tmp_path, f"ckpt={tmp_path}", "trainer.max_steps=25")
    for path, content in old.items():
        if path.name not in ("last.ckpt", "metrics.csv", "hparams.yaml"):
            assert (tmp_path / path).read_bytes() == content, path


def test_everything_with_a_state_continues(tmp_path):
    """d_steps, lazy and averaging penalties, augmentation, flips, labels, schedule, clipping."""
    a, b = tmp_path / "a", tmp_path / "b"
    every = "callbacks.checkpoints.every_n_images=96"
    train(a, *SMALL, *RICH, "trainer.max_epochs=2", every, tiny=False)
    numbered = sorted((a / "checkpoints").glob("images_*.ckpt"))
    assert numbered[0].name == "images_000000096.ckpt"
    train(b, f"resume={numbered[0]}", f"hydra.run.dir={b}")
    assert_same_training(read(b), read(a))


def test_a_new_setting_holds_after_a_resume(tmp_path):
    train(tmp_path, "trainer.max_steps=2")
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=4", "model.lr_g=0.002")
    rates = [o["param_groups"][0]["lr"] for o in read(tmp_path)["optimizer_states"]]
    assert rates == [2e-3, 5e-4]


def test_an_unconditional_run_of_an_older_version_continues(tmp_path):
    """Labels were then taken only where they were asked for, and nothing was noted down."""
    train(tmp_path, "trainer.max_steps=2", "model.conditional=false")
    checkpoint = read(tmp_path)
    checkpoint["zoo"]["overrides"].remove("model.conditional=false")
    torch.save(checkpoint, tmp_path / "checkpoints" / "last.ckpt")
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=3")
    after = read(tmp_path)["zoo"]
    assert (after["step"], after["generator"]["options"]["num_classes"]) == (3, 0)


def test_a_run_with_channels_last_null_continues(tmp_path):
    """The default of older versions, which is now spelled true."""
    train(tmp_path, "trainer.max_steps=2")
    checkpoint = read(tmp_path)
    checkpoint["zoo"]["overrides"].append("model.channels_last=null")
    torch.save(checkpoint, tmp_path / "checkpoints" / "last.ckpt")
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=4")
    assert read(tmp_path)["zoo"]["step"] == 4


def test_killed_and_interrupted_runs_continue_to_the_same_weights(tmp_path):
    """SIGKILL after a checkpoint appeared, and Ctrl-C, to two real programs at the same time."""
    killed, stopped, whole = (tmp_path / name for name in ("killed", "stopped", "whole"))
    slow = ["trainer.max_epochs=100000", "callbacks.checkpoints.every_n_images=144"]
    processes = [start(folder, *slow) for folder in (killed, stopped)]
    try:
        wait_until(lambda: (killed / "checkpoints" / "last.ckpt").exists(), processes[0])
        processes[0].kill()
        wait_until(lambda: (stopped / "checkpoints" / "last.ckpt").exists(), processes[1])
        processes[1].send_signal(signal.SIGINT)
        output, errors = processes[1].communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[0].returncode == -signal.SIGKILL
    assert processes[1].returncode == 130
    told = errors.splitlines()[-1]
    assert told.startswith("stopped by Ctrl-C; resume with: python ")
    assert told.endswith(" resume=stopped")
    assert "Traceback" not in output + errors
    steps = [read(folder)["zoo"]["step"] for folder in (killed, stopped)]
    end = max(steps) + 7
    train(whole, f"trainer.max_steps={end}", "trainer.max_epochs=100000")
    for folder in (killed, stopped):
        train(folder, f"resume={folder}", f"trainer.max_steps={end}")
        assert_same_training(read(folder), read(whole))


def test_ctrl_c_finishes_the_step_and_writes_it(tmp_path, monkeypatch, capfd):
    """In this process, so that the step at which it comes is known: 3, with no checkpoint yet."""
    import zoo.training.gan

    original = zoo.training.gan.GAN.training_step

    def interrupting(self, batch, index):
        if self._updates == 2:
            signal.raise_signal(signal.SIGINT)
        original(self, batch, index)

    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", interrupting)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "trainer.max_steps=25")
    assert threading.current_thread() is threading.main_thread()
    assert signal.getsignal(signal.SIGINT) is before
    assert read(tmp_path)["zoo"]["step"] == 3
    assert "finishing the step" in capfd.readouterr().err


def test_ctrl_c_is_told_without_the_callback_that_saves_too(tmp_path, monkeypatch):
    import zoo.training.gan

    def interrupting(self, batch, index):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", interrupting)
    # Lightning leaves the signal ignored behind a training that was interrupted.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, "trainer.max_steps=2", "callbacks.checkpoints=null")
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_best_score_continues_beside_its_checkpoint_only(tmp_path):
    """In another folder, or by another value, there is no best one yet."""
    monitor = "callbacks.checkpoints.monitor=score_fake"
    train(tmp_path / "old", "trainer.max_steps=4", monitor)
    assert (tmp_path / "old" / "checkpoints" / "best.ckpt").is_file()
    (state,) = [v for v in read(tmp_path / "old")["callbacks"].values() if "best_score" in v]

    def resumed(folder: str, **options: str) -> float:
        checkpoints = Checkpoints(str(tmp_path / folder), **{"monitor": "score_fake"} | options)
        checkpoints.load_state_dict(state)
        return checkpoints.best_score

    assert resumed("old") == state["best_score"] < math.inf
    assert resumed("new") == resumed("old", monitor="loss_g") == math.inf
    assert resumed("old", mode="max") == -math.inf


def test_a_finished_run_says_so(whole, capsys):
    content = read(whole)
    assert train(whole, f"resume={whole}") == {}
    text = capsys.readouterr().out.splitlines()[-1]
    assert "has reached its end (trainer.max_steps=25) after 400 images" in text
    assert "trainer.max_steps=50" in text
    assert_same_training(read(whole), content)


def test_a_run_that_has_finished_without_limits_names_the_default_one(tmp_path, capsys):
    train(tmp_path, "datamodule.train_val_test_split=[16,2,2]")
    assert train(tmp_path, f"resume={tmp_path}") == {}
    text = capsys.readouterr().out.splitlines()[-1]
    assert "has reached its end (trainer.max_epochs=12) after 192 images" in text


def test_a_finished_run_names_the_limits_that_it_reached(tmp_path, capsys):
    train(tmp_path, "trainer.max_steps=2", "trainer.max_epochs=9")
    capsys.readouterr()
    assert train(tmp_path, f"resume={tmp_path}") == {}
    assert "has reached its end (trainer.max_steps=2) after" in capsys.readouterr().out


def test_only_what_can_be_resumed_is_offered(tmp_path, monkeypatch):
    """No generators, which come with the zoo or were exported."""
    monkeypatch.chdir(tmp_path)
    for name in ("run/checkpoints/last.ckpt", "mnist.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for path, words in {
        "mnis": "there is no checkpoint at 'mnis'. Most similar: run/checkpoints/last.ckpt.",
        ".": "previous.ckpt). Most similar: run/checkpoints/last.ckpt.",
        "": "an empty name is not a checkpoint: give a file or a run's folder.",
        "fashion_mnist": "fashion_mnist holds a generator to sample from, but no training",
    }.items():
        with pytest.raises(ZooError) as caught:
            open_training(path)
        assert words in str(caught.value)
        assert "Models that come" not in str(caught.value)


def test_what_cannot_be_continued_is_told_in_one_sentence(whole, tmp_path):
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes((whole / "checkpoints" / "last.ckpt").read_bytes()[:5000])
    config, given = configure(*TINY)
    for path, words in {
        str(tmp_path / "absent"): "no checkpoint at",
        str(damaged): "is damaged or not a checkpoint",
        str(tmp_path): "holds no checkpoint",
    }.items():
        config["resume"] = path
        with pytest.raises(ZooError, match=words):
            run_task(config, tmp_path / "out", given)
    with pytest.raises(ZooError, match=r"with another loss, bce .* requested, hinge"):
        train(tmp_path / "out", f"resume={whole}", "model/loss=hinge")
    with pytest.raises(ZooError, match=r"with other regularizers, \(none\), than the ones .*, r1 "):
        train(tmp_path / "out", f"resume={whole}", "model/regularizer=r1")
    with pytest.raises(ZooError, match=r"another generator, mlp .*width=8.*width=9"):
        train(tmp_path / "out", f"resume={whole}", "model.generator.width=9")
    with pytest.raises(ZooError, match=r"another optimizer, adam, .* requested, rmsprop"):
        train(tmp_path / "out", f"resume={whole}", "model.optimizer=rmsprop")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("name", "other", r"other \(10 classes: "), ("class_names", ["a"], r".* \(1 class: a\)")],
)
def test_another_data_set_is_refused(whole, tmp_path, key, value, words):
    content = read(whole)
    content["zoo"]["data"][key] = value
    torch.save(content, tmp_path / "other.ckpt")
    config, given = configure(*TINY)
    config["resume"] = str(tmp_path / "other.ckpt")
    with pytest.raises(ZooError, match=rf"trained on {words}.*, not on mnist_subset \(10 class"):
        run_task(config, tmp_path / "out", given)


def test_checkpoints_are_plain_and_complete(whole):
    content = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    assert {"zoo", "state_dict", "optimizer_states", "loops", "rng"} <= content.keys()
    assert not list((whole / "checkpoints").glob(".*"))  # nothing half-written
    assert content["zoo"]["generator"]["name"] == "mlp"
    assert content["zoo"]["overrides"] == [*TINY, "trainer.max_steps=25"]
