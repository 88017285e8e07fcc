"""Closed standard streams, as `>&-` of a shell or a program without a console leaves them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zoo.core.streams import is_terminal
from zoo.data.picture_cache import _bar
from zoo.registry.places import ROOT
from zoo.training.callbacks.progress import Progress

OPENED = """
import sys
sys.argv = ["run.py", "--version"]
from zoo.cli.main import main
main()
out = open("written.txt", "w")
print("printed", flush=True)
sys.exit(0 if min(out.fileno(), sys.stdin.fileno() + 3) >= 3 else 3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes them")
def test_a_program_without_streams_writes_into_no_file(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{OPENED}"
    command = [sys.executable, "-c", code]
    closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(closed, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "written.txt").read_bytes() == b""


def test_bars_without_streams(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert not is_terminal(sys.stdout)
    assert Progress(every_seconds=1.0).every_seconds == 10.0
    with _bar(1, "decoding", hidden=True) as bar:
        bar.update(1)
