"""What a run from somebody else says of its size and its state, besides its weights."""

from __future__ import annotations

import pytest
import torch
from helpers import make_checkpoint
from helpers_train import read, train

import zoo
from zoo.core.errors import ZooError


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state") / "run"
    train(folder, "trainer.max_steps=2")
    return read(folder)


def resumed(kept, tmp_path, change):
    """Go on with a checkpoint in which something was changed."""
    file = tmp_path / "checkpoints" / "last.ckpt"
    file.parent.mkdir()
    torch.save(kept, file)
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)
    return train(tmp_path / "new", f"resume={file}", "trainer.max_steps=4")


STATES = {
    "best as a text": ("Checkpoints", {"best_score": "x"}),
    "best as nothing": ("Checkpoints", {"best_score": None}),
    "best as a tensor": ("Checkpoints", {"best_score": torch.zeros(3)}),
    "a finding of no epoch": (
        "Diagnose",
        {"findings": [{"epoch": "x", "kind": "a", "sentence": "b"}], "modes_seen": None,
         "most_modes": 0},
    ),
    "findings of another kind": (
        "Diagnose", {"findings": [{"a": 1}], "modes_seen": None, "most_modes": 0},
    ),
    "modes as a list": ("Diagnose", {"findings": [], "modes_seen": [1], "most_modes": 0}),
    "norms as a list": (
        "Diagnose", {"findings": [], "modes_seen": None, "most_modes": 0, "norms": [1.0]},
    ),
    "a norm as a text": (
        "Diagnose", {"findings": [], "modes_seen": None, "most_modes": 0, "norms": {"G": ["x"]}},
    ),
    "most modes as a truth": (
        "Diagnose", {"findings": [], "modes_seen": None, "most_modes": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_what_callbacks_kept_is_checked_before_it_counts(kept, tmp_path, name):
    """A best value that is none was compared with the next one, after an epoch."""
    callback, state = STATES[name]

    def change(content):
        assert callback in content["callbacks"]
        content["callbacks"][callback] = state

    with pytest.raises(ZooError, match="cannot be resumed, because its state does not fit"):
        resumed(kept, tmp_path, change)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [("generator", "width", 15_000), ("discriminator", "width", 40_000),
     ("discriminator", "depth", 30_000)],
)  # fmt: skip
def test_settings_ask_for_no_larger_networks_than_the_file_holds(
    kept, tmp_path, kind, option, value, told
):
    """A file of 178 KB took gigabytes, or minutes, whether or not its description agrees."""

    def change(content):
        content["settings"]["values"]["model"][kind]["options"][option] = value
        if told:
            content["zoo"][kind]["options"][option] = value

    with pytest.raises(ZooError, match="asks for networks that are far larger than the tensors"):
        resumed(kept, tmp_path, change)
    assert not list(tmp_path.glob("new/checkpoints/*"))


def test_a_discriminator_is_no_larger_than_the_file_holds(tmp_path):
    file = make_checkpoint(tmp_path / "a.ckpt", "mlp")
    content = torch.load(file, weights_only=True)
    content["zoo"]["discriminator"]["options"]["base_channels"] = 20_000
    torch.save(content, file)
    model = zoo.load(file)
    with pytest.raises(ZooError, match="far larger than the tensors that it holds"):
        model.discriminator()


def expanded(content):
    for state in content["optimizer_states"]:
        state["state"][0]["exp_avg"] = torch.zeros(1).expand(10**9)


def of_other_weights(content):
    content["optimizer_states"][1]["state"][0]["exp_avg"] = torch.zeros(3)


STATE = (
    "because its state does not fit this training|does not say how many epochs it was trained for"
)
CHANGES = {
    "no optimizers": lambda c: c.update(optimizer_states=[{"state": {}, "param_groups": []}] * 2),
    "one optimizer": lambda c: c.update(optimizer_states=c["optimizer_states"][:1]),
    "other weights": of_other_weights,
    "expanded": expanded,
    "loops": lambda c: c.update(loops={"fit_loop": {"epoch_loop.batch_progress": {"total": {}}}}),
    "loops are a list": lambda c: c.update(loops=[1]),
    "random numbers": lambda c: c.update(rng=["x"]),
    "few random numbers": lambda c: c.update(rng=[{"cpu": torch.zeros(3)}]),
    "callbacks": lambda c: c.update(callbacks=3),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_state_that_is_none_is_told(kept, tmp_path, name):
    """Bare errors of PyTorch and Lightning came of these."""
    with pytest.raises(ZooError, match=STATE) as caught:
        resumed(kept, tmp_path, CHANGES[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["step,a\n1," + "x" * 300_000 + "\n", "x" * 300_000 + "\n1\n",
     ",".join(f"c{i}" for i in range(20_000)) + ",step\n" + "1\n" * 9],
    ids=["cell", "name", "columns"],
)  # fmt: skip
def test_a_log_that_is_none_is_told(tmp_path, text):
    """169 KB of short lines under 20,000 columns took 4 GB."""
    train(tmp_path, "trainer.max_steps=4")
    (log,) = tmp_path.glob("csv/*/metrics.csv")
    log.write_text(text)
    with pytest.raises(ZooError, match=r"the log .*metrics\.csv cannot be continued"):
        train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=6")
    log.unlink()
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=6")
