"""`zoo.train` in threads: one training at a time in a process."""

from __future__ import annotations

import threading

import pytest

import zoo
from zoo.cli import from_python


def test_a_second_thread_is_refused_while_one_trains(tmp_path, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()

    def wait(*_):
        begun.set()
        assert may_end.wait(60)

    monkeypatch.setattr(from_python, "_train", wait)
    other = threading.Thread(target=zoo.train)
    other.start()
    try:
        assert begun.wait(60)
        with pytest.raises(zoo.ZooError, match="another thread of this process is training"):
            zoo.train(out=tmp_path / "run")
    finally:
        may_end.set()
        other.join()
    assert not (tmp_path / "run").exists()
    zoo.train()  # and then it may
