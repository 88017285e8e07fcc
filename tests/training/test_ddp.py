"""Two processes on one machine (gloo): the same weights, their own data, one writer of files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from helpers_train import TINY, read, start

import zoo

SPY = '''
"""Writes down what each process saw, for the test beside it."""

import hashlib
import json
from pathlib import Path

import pytorch_lightning as pl
import torch


class Spy(pl.Callback):
    def __init__(self, place):
        self.place = Path(place)
        self.batches = []

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        seen = [hashlib.sha1(image.numpy().tobytes()).hexdigest() for image in batch[0]]
        self.batches.append(seen)

    def on_train_end(self, trainer, module):
        trainer.strategy.barrier()
        weights = torch.cat([p.detach().flatten() for p in module.parameters()])
        seen = {
            "batches": self.batches,
            "weights": hashlib.sha1(weights.numpy().tobytes()).hexdigest(),
            "buffers": {  # batch norm's become one in a checkpoint
                n: b.tolist() for n, b in module.named_buffers() if "running_" not in n
            },
            "noise": torch.randn(4).tolist(),
            "images_seen": module.images_seen,
            "step": trainer.global_step,
            "shown": {k: v for k, v in module.shown.items() if k != "images_per_second"},
        }
        (self.place / f"rank{trainer.global_rank}.json").write_text(json.dumps(seen))
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 steps of a conditional DCGAN with batch norm in G and a gradient penalty on D."""
    folder = tmp_path_factory.mktemp("ddp")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "spy.py").write_text(SPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_PLUGINS", str(folder / "plugins"))
        process = start(
            folder / "run",
            *[o for o in TINY if "mlp" not in o and ".width" not in o],
            "model.generator.base_channels=4",
            "model.discriminator.base_channels=4",
            "model/regularizer=[gradient_penalty,lecam]",
            "model.regularizer.lecam.start=4",
            "model.conditional=true",
            "trainer=ddp",
            "trainer.accelerator=cpu",
            "trainer.max_steps=12",
            f"+callbacks.spy._target_=zoo_plugins.{folder.name}_plugins.spy.Spy",
            f"+callbacks.spy.place={folder}",
            tiny=False,
        )
        try:
            output, errors = process.communicate(timeout=400)
        finally:
            process.kill()
    assert process.returncode == 0, output + errors
    (folder / "output.txt").write_text(output + errors)
    return folder


@pytest.fixture(scope="module")
def ranks(run: Path) -> list[dict]:
    return [json.loads((run / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_both_processes_end_with_the_same_weights(ranks):
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert ranks[0]["buffers"] == ranks[1]["buffers"]
    assert any("average_real" in name for name in ranks[0]["buffers"])
    assert ranks[0]["shown"] == ranks[1]["shown"]  # means over both
    assert ranks[0]["noise"] != ranks[1]["noise"]


def test_each_process_sees_its_own_share(ranks):
    """Together they see exactly the batches that one process would have seen."""
    data = zoo.create(
        "datamodule",
        "mnist_subset",
        image_size=8,
        batch_size=16,
        train_val_test_split=[160, 20, 20],
    )
    alone = [b for _ in range(2) for b in _take(data, 10)][:12]
    for i, (images, _) in enumerate(alone):
        expected = [hashlib.sha1(image.numpy().tobytes()).hexdigest() for image in images]
        one, two = (rank["batches"][i] for rank in ranks)
        assert len(one) == len(two) == 8
        assert one + two == expected


def _take(data, n):
    loader = data.train_dataloader()
    batches = list(loader)
    data.images_seen += n * data.batch_size
    return batches


def test_images_and_steps_count_over_all_processes(run, ranks):
    for rank in ranks:
        assert (rank["images_seen"], rank["step"]) == (12 * 16, 12)
    assert read(run / "run")["zoo"]["images_seen"] == 12 * 16


def test_one_process_writes_and_speaks(run):
    files = {str(p.relative_to(run / "run")) for p in (run / "run").rglob("*") if p.is_file()}
    assert files == {
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
        "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "csv/version_0/hparams.yaml",
        "csv/version_0/metrics.csv",
        "samples/images_000000000.png",
        "samples/images_000000160.png",
        "samples/images_000000192.png",
    }
    output = (run / "output.txt").read_text()
    assert output.count("against") == output.count("trained") == 1
    assert "cpu × 2" in output
    assert "Traceback" not in output


def test_the_checkpoint_loads_and_holds_averaged_buffers(run):
    model = zoo.load(run / "run")
    assert model.sample(4, label=5).shape == (4, 1, 8, 8)
    checkpoint = read(run / "run")
    assert len(checkpoint["rng"]) == 2
    assert not torch.equal(checkpoint["rng"][0]["cpu"], checkpoint["rng"][1]["cpu"])


def test_a_failure_of_all_processes_is_told_once_and_without_traceback(tmp_path):
    process = start(tmp_path / "run", "trainer=ddp", "datamodule.batch_size=3")
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 1
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert "batch_size=3" in line
    assert "Traceback" not in errors
