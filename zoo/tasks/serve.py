"""`task=serve`: open a local web page for experiments with a generator."""

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
"""The number of the newest runs in `outputs/` that the gallery shows too."""


@task("serve")
class Serve(Task):
    """Open a local web page with a gallery of models, to explore what they generate.

    You can vary seeds, classes and truncation, loop between latents, follow SeFa directions and
    principal components, compare two models, and project images of your own. The page needs only
    this program and a browser, and no network. Press Ctrl-C to stop it.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`; only from a source that you
            trust, because it can run code), a name, or `hf:owner/name`.
        compare: a second model, shown beside the first one with the same settings; null for none.
        host: the address to listen on; 127.0.0.1 can be reached only from this machine.
        port: the port to listen on; 0 chooses a free one.
        browser: whether to open the page in the browser.
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
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
        """Serve the page until Ctrl-C is pressed.

        Raises:
            ZooError: there is no such checkpoint, or the address or port cannot be used.
        """
        import webbrowser

        from zoo.explore.serve.gallery import gallery
        from zoo.explore.serve.server import LOOPBACK, Server
        from zoo.explore.serve.studio import Studio
        from zoo.inference.load import load

        files = [self.ckpt, *([self.compare] if self.compare else [])]
        models = [load(file, weights=self.weights, device=self.device) for file in files]
        # The option `weights` does not apply to the gallery, whose models may lack such weights.
        runs = [Path("outputs", run) for run in runs_below(Path("outputs"))[:RUNS]]
        near = [run / "checkpoints" / "last.ckpt" for run in runs]
        exhibits = gallery(models, lambda file: load(file, device=self.device), near)
        studio = Studio(exhibits, shown=len(models))
        with Server(studio, self.host, self.port) as server, _ctrl_c() as end:
            print(f"serving at {server.url} (press Ctrl-C to stop)", flush=True)
            if self.host not in LOOPBACK:
                print("warning: anyone who can reach this machine can use the page.", flush=True)
            if self.browser:
                webbrowser.open(server.url)
            server.timeout = 0.2  # check every 0.2 s whether Ctrl-C was pressed
            while not end.is_set():
                server.handle_request()
        print()
        return {"served": server.url}


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C sets, instead of raising an exception that could get lost.

    A second Ctrl-C raises KeyboardInterrupt as usual.
    """
    end = threading.Event()

    def handle(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, original)
        end.set()

    original = signal.signal(signal.SIGINT, handle)
    try:
        yield end
    finally:
        signal.signal(signal.SIGINT, original)
