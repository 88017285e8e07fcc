"""Random command lines from a grammar of the zoo's own options: each ends in a sentence, or works.

    python tests/fuzz/command_lines.py --lines 1000 --seed 0          # composition and validation
    python tests/fuzz/command_lines.py --real 20 --seed 0             # real programs

A command line is right if it composes and is valid, or if it is refused by a `ZooError`. Any other
exception is a bare error, and one that takes longer than `--limit` seconds a hang.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

VALUES = (
    "0", "1", "-1", "2", "3.5", "1e400", "-0.0", "nan", "inf", "-inf", "true", "false", "null",
    "none", "", "''", '""', "a", "abc def", "é", "日本", "[]", "[1,2]", "[a]", "[[]]", "{}",
    "{a:1}", "{a:{b:[c]}}", "[1", "{a", "'", '"', "\\", "$", "${seed}", "${model}", 
    "${oc.env:HOME}",
    "${oc.env:NO_SUCH}", "${nothing.here}", "${", "???",
    "99999999999999999999999", "1_000", "0x1f",
    "01", "--", "-", "~", ".", "..", "/", "/nowhere/at/all", "~/x", "*", "a,b", "1,2,3", "range(3)",
    "range(0,1000000000)", "interval(0,1)", "choice(1,2)", "glob(*)", "glob(", "tag(log,1)",
    "int(1)", "float(x)", "str(1)", "bool(1)", "sort(1,2)", "shuffle(1,2)", "extend_list(1)", "=",
    "a=b", "a:b", "a@b", "mnist", "last", "auto", "cpu", "cuda", "meta", "x" * 3000, "\t", "%s",
    "0.1.2", "1e-4", "[0.5,0.9]", "model", "_target_", "os.system", "null,null", "!!int x", "&a",
)  # fmt: skip
SIGNS = ("", "", "", "", "", "+", "++", "~")
EXTRA_KEYS = (
    "", "hydra", "hydra.run.dir", "hydra.sweep.dir", "hydra.job.name", "hydra/launcher",
    "hydra.searchpath", "hydra.mode", "hydra.verbose", "a.b.c", "model.", ".model", "model..lr_g",
    "model.generator._target_", "task._target_", "callbacks.x._target_", "logger.x._target_",
    "model@x", "trainer@hydra", "0", "1.2", "experiment", "hparams_search", "é", "a b", "debug",
    "model.schedules", "model.schedules.lr_g", "trainer.profiler", "trainer.deterministic",
    "trainer.min_steps", "trainer.max_time", "trainer.plugins", "trainer.callbacks",
    "trainer.default_root_dir", "trainer.fast_dev_run", "trainer.limit_train_batches",
)  # fmt: skip
FLAGS = (
    "-m", "--multirun", "--config-name=nope", "--config-dir=/nowhere", "--config-path=nope",
    "--cfg=job", "--package=model", "--resolve", "--info=config", "-c", "--quick", "--hydra-help",
    "--experimental-rerun=nowhere", "train", "--",
)  # fmt: skip


class Grammar:
    """Keys and choices of the composed configuration of every task."""

    def __init__(self) -> None:
        from hydra import compose, initialize_config_dir
        from omegaconf import OmegaConf

        from zoo.cli.store import CONFIGS, experiments, store_parts
        from zoo.registry import REGISTRY
        from zoo.registry.kinds import GROUPS

        store_parts()
        self.tasks = [p.name for p in REGISTRY.parts("task")]
        self.groups = {g: [p.name for p in REGISTRY.parts(k)] for k, g in GROUPS.items()}
        for name in ("trainer", "logger", "callbacks"):
            self.groups[name] = [p.stem for p in (CONFIGS / name).glob("*.yaml")]
        self.groups["experiment"] = experiments(CONFIGS)
        defaults: dict[str, Any] = {}
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            for name in self.tasks:
                config = OmegaConf.to_container(compose("config", [f"task={name}"]))
                defaults |= _leaves(config)
        self.defaults = dict(sorted(defaults.items()))
        self.keys = list(self.defaults)

    def line(self, rng: random.Random) -> list[str]:
        """One command line."""
        words = [self._word(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))]
        if rng.random() < 0.4:
            words.insert(0, f"task={rng.choice(self.tasks)}")
        if rng.random() < 0.08:
            words.insert(rng.randrange(len(words) + 1), rng.choice(FLAGS))
        return words

    def _word(self, rng: random.Random) -> str:
        chance = rng.random()
        if chance < 0.25:
            group = rng.choice(sorted(self.groups))
            right = rng.random() < 0.6
            value = rng.choice(self.groups[group]) if right else rng.choice(VALUES)
            if rng.random() < 0.1:
                value = f"[{value},{rng.choice(self.groups[group])}]"
            return f"{rng.choice(SIGNS)}{group}={value}"
        if chance < 0.8:
            key = rng.choice(self.keys)
        elif chance < 0.95:
            key = rng.choice(EXTRA_KEYS)
        else:  # a key with a letter that is wrong
            key = rng.choice(self.keys)
            place = rng.randrange(len(key))
            key = key[:place] + rng.choice("xé_.=@/") + key[place + 1 :]
        if key in self.defaults and rng.random() < 0.5:
            return f"{key}={_near(self.defaults[key], rng)}"
        sign = rng.choice(SIGNS)
        if sign == "~" and rng.random() < 0.6:
            return f"~{key}"
        return f"{sign}{key}={rng.choice(VALUES)}"


def _leaves(node: Any, place: str = "") -> dict[str, Any]:
    """All keys below a node, sections too, with the values that they have."""
    found: dict[str, Any] = {}
    for name, value in node.items():
        key = f"{place}.{name}" if place else str(name)
        found[key] = value
        if isinstance(value, dict):
            found |= _leaves(value, key)
    return found


def _near(default: Any, rng: random.Random) -> str:
    """A value of the kind of a default one, which may be right."""
    if isinstance(default, bool):
        return rng.choice(("true", "false"))
    if isinstance(default, int):
        return str(rng.choice((default, default + 1, 2 * default, default // 2, 1, 7)))
    if isinstance(default, float):
        return repr(rng.choice((default, default / 2, 2 * default, 0.5, 1.0)))
    if isinstance(default, list):
        return f"[{','.join(map(str, default[: rng.randrange(len(default) + 1)]))}]"
    return rng.choice(("null", "1", "0.5", "true", str(default) if default else "a"))


class Hang(Exception):
    """A command line took too long."""


def compose_and_validate(line: list[str], limit: int) -> str:
    """`valid`, `refused`, or what went wrong.

    All that `run.py` does before a task starts, but for the parts that are made in it.
    """
    from zoo.cli import overrides
    from zoo.cli.newest import name_newest
    from zoo.cli.resume import continue_run
    from zoo.cli.store import CONFIGS
    from zoo.core.errors import ZooError

    def ring(number: int, frame: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(limit)
    try:
        given = overrides.normalise(list(line))
        flags = overrides.flags(given)
        if flags.help or flags.hydra_help or flags.info or flags.cfg or flags.shell_completion:
            overrides.check(given, CONFIGS, only_prints=True)
            return "valid"
        given = overrides.collect_space(continue_run(name_newest(given), flags.config_dir))
        overrides.check(given, CONFIGS)
    except ZooError as error:
        return "refused" if "\n" not in str(error) else f"two lines: {error}"
    except SystemExit as error:
        return "refused" if error.code in (0, 2) else f"SystemExit {error.code}"
    except Hang:
        return f"hang of {limit} s"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "valid"


def run_really(line: list[str], limit: int) -> str:
    """The same of a real program in an empty folder, with tasks started."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *line],
            cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            _, told = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:  # a training, perhaps, which Ctrl-C ends
            process.send_signal(signal.SIGINT)
            try:
                _, told = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return f"hang of {limit} s"
            if process.returncode == 130 and "Traceback" not in told:
                return "valid"
    shows = any(word.startswith("debug=") for word in line)  # which asks for tracebacks
    if "This is a bug" in told or ("Traceback" in told and not shows):
        return told.strip().splitlines()[-1][:300]
    return "valid" if process.returncode == 0 else "refused"


def fuzz(
    lines: int, seed: int, limit: int, judge: Callable[[list[str], int], str], told: bool = False
) -> tuple[dict[str, int], list[tuple[list[str], str]]]:
    """Counts of outcomes, and the command lines that end neither in a sentence nor well."""
    grammar, rng = Grammar(), random.Random(seed)
    counts = {"valid": 0, "refused": 0, "wrong": 0}
    wrong: list[tuple[list[str], str]] = []
    for number in range(lines):
        if told and number % 100 == 0:
            print(f"{number} lines: {counts}", flush=True)
        line = grammar.line(rng)
        outcome = judge(line, limit)
        counts[outcome if outcome in counts else "wrong"] += 1
        if outcome not in counts:
            wrong.append((line, outcome))
            if told:
                print(f"{line}\n    {outcome}", flush=True)
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--real", type=int, default=0, help="real programs instead, this many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=60, help="seconds that one may take")
    given = parser.parse_args()
    start = time.monotonic()
    judge = run_really if given.real else compose_and_validate
    counts, wrong = fuzz(given.real or given.lines, given.seed, given.limit, judge, told=True)
    print(f"{counts} in {time.monotonic() - start:.0f} s, seed {given.seed}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
