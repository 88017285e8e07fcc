"""Kills trainings at random moments and continues them: nothing may differ from one never stopped.

    python tests/fuzz/kills.py --kills 100 --seed 0 --report kills.md

A training is a process of its own, forked from this one so that it starts at once, and ended by a
SIGKILL in a step or while it writes a checkpoint, an evaluation, a grid or a log. It is continued
with `resume=`, killed again, and at its end compared with one that ran through: weights, averages,
optimizers, random state, checkpoints, log, evaluations and grids, bit by bit. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from same_run import differences, values_of

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

WORKERS = '''
"""The embedded MNIST subset in batches that two worker processes make."""

from torch.utils.data import DataLoader, Dataset

from zoo.data.sets.mnist_subset import MNISTSubset
from zoo.registry import datamodule


class Batches(Dataset):
    def __init__(self, module, loader):
        self.module, self.loader = module, loader

    def __len__(self):
        return len(self.loader)

    def __getitem__(self, index):
        step = self.loader.batch_size * self.loader.steps
        return self.loader._batch(self.module.images_seen + index * step)


@datamodule("mnist_workers")
class Workers(MNISTSubset):
    """MNIST's subset, read by workers."""

    def train_dataloader(self):
        loader = super().train_dataloader()
        return DataLoader(Batches(self, loader), batch_size=None, num_workers=2)
'''
SMALL = (
    "datamodule.image_size=8", "datamodule.batch_size=16", "model.latent_dim=8",
    "datamodule.train_val_test_split=[160,20,20]", "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=4", "trainer.max_steps=25", "callbacks=evaluate",
    "callbacks.samples.rows=2", "callbacks.progress=null", "callbacks.evaluate.n=32",
    "callbacks.evaluate.batch_size=32", "callbacks.evaluate.features=mnist",
    "callbacks.diagnostics=null",
)  # fmt: skip
MLP = ("model/generator=mlp", "model/discriminator=mlp", "model.generator.width=8",
       "model.discriminator.width=16")  # fmt: skip
DCGAN = ("model.generator.base_channels=4", "model.discriminator.base_channels=4")
OFTEN = ("callbacks.checkpoints.every_n_images=112", "callbacks.samples.every_n_images=80",
         "callbacks.evaluate.every_n_images=144")  # fmt: skip
RECIPES = {
    "mlp": (1, (*MLP, *OFTEN)),
    "2 workers": (1, (*MLP, *OFTEN, "datamodule=mnist_workers", "datamodule.flip=true")),
    "5 updates of D": (
        1,
        (*MLP, "model.d_steps=5", "datamodule.batch_size=4", "model.lr_decay=linear"),
    ),
    "lazy penalties": (
        1,
        (*DCGAN, *OFTEN, "model/regularizer=[r1,lecam]", "model.regularizer.r1.every=4"),
    ),
    "ADA": (1, (*DCGAN, "model/augmentation=[ada]", "callbacks.checkpoints.every_n_images=112")),
    "2 processes": (2, (*MLP, *OFTEN, "trainer=ddp", "trainer.accelerator=cpu")),
    "2 processes, lazy penalties": (
        2,
        (*DCGAN, "trainer=ddp", "trainer.accelerator=cpu", "model/regularizer=[r1,lecam]",
         "model.regularizer.r1.every=4", "callbacks.checkpoints.every_n_images=112"),
    ),
}  # fmt: skip
"""Processes and overrides by name; all have an average, batch norm and labels where DCGAN does."""
MOMENTS = ("step", "checkpoint", "evaluation", "grid", "log")
MOST = 6
"""Kills of one training, until it may end."""
LONGEST = 0.03
"""Seconds after the beginning of a moment in which the kill comes."""
LIMIT = 240


def _moments() -> dict[str, tuple[type, str]]:
    from zoo.training.callbacks.checkpoints import Checkpoints
    from zoo.training.callbacks.evaluate import Evaluate
    from zoo.training.callbacks.samples import SampleGrid
    from zoo.training.gan import GAN
    from zoo.training.loggers import _Writer

    return {
        "step": (GAN, "training_step"),
        "checkpoint": (Checkpoints, "save"),
        "evaluation": (Evaluate, "evaluate"),
        "grid": (SampleGrid, "write"),
        "log": (_Writer, "save"),
    }


def _arm(moment: str, count: int, delay: float) -> None:
    """Have this process killed `delay` seconds after a moment begins for the `count`th time."""
    owner, name = _moments()[moment]
    original: Callable[..., Any] = getattr(owner, name)
    entered = [0]

    def strike() -> None:
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGKILL)

    def method(*arguments: Any, **options: Any) -> Any:
        entered[0] += 1
        if entered[0] == count:
            threading.Thread(target=strike, daemon=True).start()
        return original(*arguments, **options)

    setattr(owner, name, method)


def _become_training(log: Path, arguments: list[str], rank: int, port: int | None) -> int:
    """Train in this process as `run.py` does; the exit code."""
    output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.chdir(log.parent)
    if port is not None:
        os.environ |= {
            "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        if rank:
            arguments = [*arguments, "hydra.output_subdir=null"]
    sys.argv = ["run.py", *arguments]
    from lightning_utilities.core.rank_zero import rank_zero_only

    from zoo.cli.main import main

    rank_zero_only.rank = rank  # as it was imported, before there were others

    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def run(
    log: Path, arguments: list[str], processes: int, kill: tuple[int, str, int, float] | None = None
) -> bool:
    """Run a training to its end, or to its kill.

    Args:
        kill: the rank that is killed, the moment, its count, and the delay.

    Returns:
        Whether it was killed.

    Raises:
        RuntimeError: it ended in an error, or hangs.
    """
    port = _free_port() if processes > 1 else None
    children: dict[int, int] = {}
    for rank in range(processes):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if kill is not None and kill[0] == rank:
                    _arm(*kill[1:])
                code = _become_training(log, arguments, rank, port)
            finally:
                sys.stdout.flush()
                os._exit(code)
        children[child] = rank
    codes = _wait(children)
    if kill is not None and codes[kill[0]] == -signal.SIGKILL:
        return True
    if any(codes.values()):
        raise RuntimeError(f"exit codes {codes}: {log.read_text(errors='replace')[-1500:]}")
    return False


def _wait(children: dict[int, int]) -> dict[int, int]:
    """Exit codes by rank. Where one process ended badly the others have to end by themselves."""
    codes: dict[int, int] = {}
    end = time.monotonic() + LIMIT
    while len(codes) < len(children):
        for child, rank in children.items():
            if rank not in codes:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    codes[rank] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            for child, rank in children.items():
                if rank not in codes:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            raise RuntimeError(f"a training hangs, exit codes {codes}")
        time.sleep(0.02)
    return codes


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def kill_all(
    kills: int, seed: int, recipes: list[str] | None = None, told: bool = False
) -> dict[str, Any]:
    """Kill and continue trainings, and compare; figures, and what differed."""
    rng = random.Random(seed)
    names = recipes or list(RECIPES)
    report: dict[str, Any] = {
        "seed": seed, "kills": 0, "trainings": 0, "by moment": Counter(), "by recipe": Counter(),
        "values compared": 0, "before a checkpoint": 0, "wrong": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, _plugin(Path(folder)):
        _prepare()
        number = 0
        while report["kills"] < kills:
            name = names[number % len(names)]
            number += 1
            before = len(report["wrong"])
            try:
                _one(Path(folder), name, number, kills, rng, report)
            except RuntimeError as error:
                report["wrong"].append(f"{name}: {error}")
            if told:
                last = report["wrong"][-1:] if len(report["wrong"]) > before else ""
                print(f"{report['kills']} kills, {len(report['wrong'])} wrong, {name} {last}")
                sys.stdout.flush()
            if len(report["wrong"]) > 5:
                break
    return report


def _one(
    folder: Path, name: str, number: int, kills: int, rng: random.Random, report: dict[str, Any]
) -> None:
    """One training, killed up to `MOST` times, against the one that ran through."""
    processes, options = RECIPES[name]
    whole, killed = folder / f"whole {name}", folder / f"killed {number}"
    overrides = [*SMALL, *options, "seed=1"]
    if not whole.exists():
        whole.mkdir()
        run(whole / "out.txt", [*overrides, f"hydra.run.dir='{whole}'"], processes)
    killed.mkdir()
    log = folder / f"killed {number}.txt"
    start = [*overrides, f"hydra.run.dir='{killed}'"]
    arguments, here = start, 0
    while True:
        kill = None
        if here < MOST and report["kills"] < kills:
            moment = rng.choice(MOMENTS)
            count = rng.randint(1, {"step": 24, "log": 7}.get(moment, 5))
            only_first = processes == 1 or moment in ("grid", "log")
            rank = 0 if only_first else rng.randrange(processes)
            kill = (rank, moment, count, rng.uniform(0, LONGEST))
        if not run(log, arguments, processes, kill):
            if kill is None or here:
                break
            shutil.rmtree(killed)  # the kill was to come after its end
            killed.mkdir()
            arguments = start
            continue
        assert kill is not None
        here += 1
        report["kills"] += 1
        report["by moment"][kill[1]] += 1
        report["by recipe"][name] += 1
        arguments = [f"resume='{killed}'"]
        if not list(killed.glob("checkpoints/*.ckpt")):
            report["before a checkpoint"] += 1
            shutil.rmtree(killed)
            killed.mkdir()
            arguments = start
    report["trainings"] += 1
    wrong = differences(whole, killed)
    report["values compared"] += values_of(whole)
    report["wrong"] += [f"{name}, training {number}: {w}" for w in wrong[:5]]
    shutil.rmtree(killed)


@contextlib.contextmanager
def _plugin(folder: Path) -> Iterator[None]:
    plugins = folder / "kill_plugins"
    plugins.mkdir()
    (plugins / "workers.py").write_text(WORKERS)
    before = os.environ.get("ZOO_PLUGINS")
    os.environ["ZOO_PLUGINS"] = str(plugins)
    try:
        yield
    finally:
        if before is None:
            del os.environ["ZOO_PLUGINS"]
        else:
            os.environ["ZOO_PLUGINS"] = before


def _prepare() -> None:
    """Import what every training needs once, for all that are forked; without starting a thread."""
    import torch

    import zoo.tasks.train
    import zoo.training.build  # noqa: F401

    torch.set_num_threads(1)
    _moments()


def in_words(report: dict[str, Any]) -> str:
    """The report as markdown."""

    def counted(name: str) -> str:
        return ", ".join(f"{k} {v}" for k, v in sorted(report[name].items()))

    lines = [
        f"# {report['kills']} kills",
        "",
        "| | |",
        "|---|---|",
        f"| trainings compared | {report['trainings']} |",
        f"| in or after | {counted('by moment')} |",
        f"| recipes | {counted('by recipe')} |",
        f"| before there was a checkpoint | {report['before a checkpoint']} |",
        f"| values compared in last checkpoints | {report['values compared']:,} |",
        f"| differences | {len(report['wrong'])} |",
        f"| seed | {report['seed']} |",
        "",
        *[f"- {w}" for w in report["wrong"]],
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", action="append", choices=list(RECIPES), help="only these")
    parser.add_argument("--report", type=Path, help="a .md or .json file")
    given = parser.parse_args()
    start = time.monotonic()
    report = kill_all(given.kills, given.seed, given.recipe, told=True)
    report["minutes"] = round((time.monotonic() - start) / 60, 1)
    text = in_words(report)
    print(text)
    if given.report is not None:
        is_json = given.report.suffix == ".json"
        given.report.write_text(json.dumps(report, indent=2) + "\n" if is_json else text)
    sys.exit(bool(report["wrong"]))


if __name__ == "__main__":
    main()
