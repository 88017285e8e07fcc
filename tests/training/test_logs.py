"""What a logger does not take is lost to its log, and not to the training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from zoo.training.callbacks.logs import log_checkpoint, log_file, log_picture, log_table


class Unreachable:
    keeps_models = "all"

    def log_image(self, *_, **__):
        raise ConnectionError("no route to host")

    log_file = log_table = log_checkpoint = log_image


class Listening(Unreachable):
    def __init__(self):
        self.taken = []

    def log_image(self, *given, **__):
        self.taken.append(given)

    log_file = log_table = log_checkpoint = log_image


WAYS = {
    "the image 'samples'": lambda t, file: log_picture(t, "samples", Image.new("L", (2, 2))),
    "video.gif": lambda t, file: log_file(t, "video", file),
    "the table 'figures'": lambda t, file: log_table(t.loggers, "figures", [{"fid": 1.0}], 3),
    "last.ckpt": lambda t, file: log_checkpoint(t, file.with_name("last.ckpt"), [], {}, True),
}


@pytest.mark.parametrize("what", WAYS)
def test_a_logger_that_fails_is_told_and_the_others_go_on(tmp_path, what):
    trainer = SimpleNamespace(loggers=[Unreachable(), Listening()], global_step=3)
    with pytest.warns(UserWarning, match=f"Unreachable could not log {what} .*no route to host"):
        WAYS[what](trainer, tmp_path / "video.gif")
    assert len(trainer.loggers[1].taken) == 1
