"""`task=serve`: a page on this machine to play with a generator."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from zoo.cli.newest import runs_below
from zoo.contracts.task import Run, Task
from zoo.core.errors import between
from zoo.registry import task

RUNS = 8
"""Newest ones below `outputs/`, which the gallery shows beside what was asked for."""


@task("serve")
class Serve(Task):
    """Open a local page with a gallery of the models at hand, to play with what they generate.

    Seeds, classes, truncation, a loop between latents, SeFa directions and principal components,
    two models side by side, and pictures of your own, whose latents are found.
    The page needs nothing but this program and a browser, and no network. Ctrl-C ends it.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`: only one that you
            trust, it can run code), a name, or `hf:owner/name`.
        compare: a second one, shown beside it under the same settings.
        host: address to listen on; 127.0.0.1 is reached from this machine alone.
        port: 0 takes any free one.
        browser: open the page in the browser.
        weights: `ema` or `raw`; null takes the averaged ones where there are any.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    writes_files = False

    def __init__(
        self,
        ckpt: str = "mnist",
        compare: str | None = None,
        host: str = "127.0.0.1",
        port: Annotated[int, between(0, 65535)] = 7860,
        browser: bool = False,
        weights: Literal["ema", "raw"] | None = None,
        device: str = "auto",
    ) -> None:
        self.ckpt = ckpt
        self.compare = compare
        self.host = host
        self.port = port
        self.browser = browser
        self.weights = weights
        self.device = device

    def run(self, run: Run) -> dict[str, Any]:
        """Serve until Ctrl-C.

        Raises:
            ZooError: no such checkpoint, or an address or port that cannot be used.
        """
        import webbrowser

        from zoo.explore.serve.gallery import gallery
        from zoo.explore.serve.server import LOOPBACK, Server
        from zoo.explore.serve.studio import Studio
        from zoo.inference.load import load

        files = [self.ckpt, *([self.compare] if self.compare else [])]
        models = [load(file, weights=self.weights, device=self.device) for file in files]
        # Those of the gallery have what weights they have: only the ones asked for are refused.
        runs = [Path("outputs", run) for run in runs_below(Path("outputs"))[:RUNS]]
        near = [run / "checkpoints" / "last.ckpt" for run in runs]
        exhibits = gallery(models, lambda file: load(file, device=self.device), near)
        studio = Studio(exhibits, shown=len(models))
        with Server(studio, self.host, self.port) as server, _ctrl_c() as end:
            print(f"serving at {server.url} (Ctrl-C ends it)", flush=True)
            if self.host not in LOOPBACK:
                print("warning: anyone who reaches this machine can use the page.", flush=True)
            if self.browser:
                webbrowser.open(server.url)
            server.timeout = 0.2  # between two looks at what Ctrl-C said
            while not end.is_set():
                server.handle_request()
        print()
        return {"served": server.url}


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, instead of an exception that could fall where it is swallowed.

    A second Ctrl-C interrupts.
    """
    end = threading.Event()

    def note(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        end.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield end
    finally:
        signal.signal(signal.SIGINT, before)
