"""Each private name of Lightning that the zoo uses is there and does what it did."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from zoo.training.lightning_internals import (
    RUNNING_HOOK,
    RichBar,
    end_epochs_whole,
    remember_batch_hooks,
    set_run_id,
    set_version,
    wandb_options,
    writer_options,
    written_version,
)


class Module(pl.LightningModule):
    """Writes down under which name Lightning notes the running hook."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.noted: list[str] = []

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        self.noted.append(vars(self)[RUNNING_HOOK])
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Remember(pl.Callback):
    """Counts what is looked up after it was remembered."""

    asked = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        selector = trainer._data_connector._datahook_selector
        original = selector.get_instance

        def counted(name: str) -> object:
            self.asked += 1
            return original(name)

        selector.get_instance = counted
        remember_batch_hooks(trainer)


def test_lightning_notes_the_hook_and_asks_the_selector_that_is_remembered(tmp_path) -> None:
    module, remember = Module(), Remember()
    trainer = pl.Trainer(
        max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", callbacks=[remember],
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(3, 1)))
    assert module.noted == ["training_step"] * 3
    # each hook once, not in every step
    assert 1 <= remember.asked <= 4


def test_what_loggers_will_hand_on_can_be_changed(tmp_path, monkeypatch) -> None:
    made: list[dict] = []
    writer = "torch.utils.tensorboard.SummaryWriter"
    monkeypatch.setattr(writer, lambda **options: made.append(options) or object())
    board = pl.loggers.TensorBoardLogger(tmp_path)
    writer_options(board)["purge_step"] = 7
    assert board.experiment is not None
    assert made[0]["purge_step"] == 7
    run = pl.loggers.WandbLogger(save_dir=tmp_path, offline=True, project="canary")
    assert wandb_options(run)["project"] == "canary"
    assert wandb_options(run)["id"] is None


def test_a_number_of_steps_is_what_lightning_asks_the_loop_for(tmp_path) -> None:
    trainer = pl.Trainer(max_steps=3, logger=False, accelerator="cpu", default_root_dir=tmp_path)
    assert type(trainer.fit_loop)._iteration_based_training(trainer.fit_loop)
    end_epochs_whole(trainer)
    assert not trainer.fit_loop._iteration_based_training()


def test_loggers_go_on_in_the_folder_and_the_run_that_are_set(tmp_path) -> None:
    for logger in (pl.loggers.CSVLogger(tmp_path), pl.loggers.TensorBoardLogger(tmp_path)):
        assert written_version(logger) is None
        set_version(logger, 3)
        assert written_version(logger) == logger.version == 3
        assert logger.log_dir.endswith("version_3")
    wandb = pl.loggers.WandbLogger(save_dir=tmp_path, offline=True)
    set_run_id(wandb, "abc")
    assert wandb.version == wandb_options(wandb)["id"] == "abc"


@pytest.mark.parametrize(
    ("ends", "said"), [({"max_steps": 3}, "Epoch 0   "), ({"max_epochs": 12}, "Epoch 0/11")]
)
def test_the_rich_bar_says_no_number_of_epochs_that_there_is_not(tmp_path, ends, said) -> None:
    options = {"logger": False, "accelerator": "cpu", "default_root_dir": tmp_path}
    bar = RichBar()
    trainer = pl.Trainer(**ends, **options, enable_checkpointing=False, callbacks=[bar])
    bar.setup(trainer, Module(), "fit")
    assert bar._get_train_description(0) == said
