"""Mutated checkpoints through `zoo.load` and `resume=`: each works or ends in one sentence.

    python tests/fuzz/checkpoints.py --files 1000 --seed 0

Bytes are flipped, cut, moved and filled; values, names and tensors are replaced; pickles call what
they should not; headers of safetensors files lie. Whatever it is: no code runs, nothing is written,
and it takes neither long nor much memory.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

VALUES = (
    None, True, -1, 0, 1, 2**31, 2**60, 10**30, -(2**63), 0.5, -0.0, float("nan"), float("inf"), "",
    "x", "a" * 100_000, "\x1b[2J", "\x00", "../../x", "/etc/passwd", "~/x", "hf:a/b", "C:\\x",
    "${oc.env:HOME}", "${oc.decode:x}", "@x", "mlp", "resnet", "os.system", "torch.load", "null",
    [], [1], [[[]]], ["a", 1], {}, {"a": {}}, {"name": "mlp"}, {"name": "mlp", "options": {}},
    {"_target_": "os.system", "command": "touch executed"},
    {"name": "image_folder", "options": {"folder": "/"}},
    (1, 2), {1: 2}, {"name": "timm", "options": {"model": "x", "pretrained": True}},
)  # fmt: skip
KEYS = ("_target_", "hydra", "hydra.run.dir", "defaults", "experiment", "folder", "data_dir", "x",
        "pretrained", "save_dir", "../x", "", "callbacks", "logger", "name", "options")  # fmt: skip
LIMIT = 60
"""Seconds that a file may take, under the load of a test machine."""
MEMORY = 1_500_000_000
"""Bytes that all of the files may add to the process."""


class Hang(Exception):
    """A file took too long."""


class _Call:
    """What a pickle calls when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.called = (function, arguments)

    def __reduce__(self) -> Any:
        return self.called


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [place] if place else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*place, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value[:5]):
            found += _places(inner, (*place, i))
    return found


def _holder(content: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        content = content[key]
    return content


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """A file with some bytes flipped, cut, doubled, filled or moved."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        place = rng.randrange(max(1, len(changed)))
        if rng.random() < 0.4:  # where a zip file's directory, or a header, is
            place = rng.choice((place % 300, max(0, len(changed) - 1 - place % 3000)))
        size = rng.choice((1, 8, 100, 5000))
        kind = rng.choice(("bit", "bit", "cut", "end", "double", "fill", "move"))
        if kind == "bit" and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del changed[place : place + size]
        elif kind == "end":
            del changed[place:]
        elif kind == "double":
            changed[place:place] = changed[place : place + size]
        elif kind == "fill":
            changed[place : place + size] = bytes([rng.choice((0, 255, 65))]) * size
        else:
            part = changed[place : place + size]
            del changed[place : place + size]
            other = rng.randrange(len(changed) + 1)
            changed[other:other] = part
    return bytes(changed)


def content_changed(content: dict[str, Any], rng: random.Random, mark: Path) -> dict[str, Any]:
    """A checkpoint with some of its values, names or tensors replaced."""
    changed = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        root = rng.choice(("zoo", "zoo", "zoo", "settings", "settings", "state_dict", "any"))
        inside = changed.get(root) if root in changed else changed
        places = _places(inside)
        if not places:
            continue
        place = rng.choice(places)
        holder, key = _holder(inside, place), place[-1]
        kind = rng.choice(("value", "value", "delete", "key", "call", "swap"))
        if isinstance(holder.get(key) if isinstance(holder, dict) else None, torch.Tensor):
            holder[key] = _tensor(holder[key], rng)
        elif kind == "value":
            holder[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind == "delete":
            del holder[key]
        elif kind == "key" and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))
        elif kind == "call":
            holder[key] = rng.choice((
                _Call(os.system, f"touch {mark}"), _Call(eval, f"open({str(mark)!r}, 'w')"),
                _Call(bytearray, 10**10), _Call(torch.load, str(mark)), _Call(open, str(mark), "w"),
                _Call(torch.zeros, 10**10), _Call(print, "x"),
            ))  # fmt: skip
        else:
            other = rng.choice(places)
            try:
                holder[key] = copy.deepcopy(_holder(inside, other)[other[-1]])
            except (KeyError, IndexError, TypeError):  # gone by now
                continue
    return changed


def _tensor(value: torch.Tensor, rng: random.Random) -> torch.Tensor:
    flat = value.detach().clone()
    return rng.choice((
        lambda: flat.to(torch.float16), lambda: flat.to(torch.int64), lambda: flat * float("nan"),
        lambda: flat.reshape(-1), lambda: flat.reshape(-1)[:0], lambda: flat.unsqueeze(0),
        lambda: torch.zeros(1).expand(10**7), lambda: torch.zeros(1).expand(10**12),
        lambda: flat.to("meta"), lambda: torch.zeros(2, 2).to_sparse(),
        lambda: torch.zeros(0, 2**40), lambda: flat.to(torch.complex64),
    ))()  # fmt: skip


def header_changed(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header says something else."""
    (size,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    info = json.loads(header["__metadata__"]["zoo"])
    for _ in range(rng.choice((1, 2, 3))):
        inside = rng.choice((header, info, info))
        place = rng.choice(_places(inside))
        holder, value = _holder(inside, place), copy.deepcopy(rng.choice(VALUES))
        try:
            json.dumps(value)
            holder[place[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["zoo"] = json.dumps(info)
    text = json.dumps(header).encode()
    length = rng.choice((len(text), len(text), len(text), 2**40, 0))
    return struct.pack("<Q", length) + text + rest


def packed_anew(data: Path, target: Path, rng: random.Random) -> None:
    """A checkpoint whose archive is deflated, or has entries twice, renamed, or of other names."""
    kind = rng.choice(("deflated", "twice", "renamed", "outside"))
    warnings.simplefilter("ignore")  # of names that are there twice
    with zipfile.ZipFile(data) as given, zipfile.ZipFile(target, "w") as made:
        for entry in given.infolist():
            name = entry.filename
            if kind == "renamed" and rng.random() < 0.2:
                name += rng.choice(("x", "/", "\x00"))
            elif kind == "outside" and rng.random() < 0.2:
                name = "../../" + name
            method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
            made.writestr(name, given.read(entry), method)
            if kind == "twice" and rng.random() < 0.2:
                made.writestr(name, b"", method)


def outcome(file: Path, resumes: bool, limit: int = LIMIT) -> str:
    """`works`, `refused`, or what is wrong with how a file was taken."""
    import zoo
    from zoo.cli.overrides import check
    from zoo.cli.resume import continue_run
    from zoo.cli.store import CONFIGS
    from zoo.core.errors import LONGEST_SENTENCE

    def ring(number: int, frame: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(limit)
    try:
        if resumes:
            check(continue_run([f"resume='{file}'"]), CONFIGS)
        else:
            model = zoo.load(file)
            repr(model)
            model.sample(1)
    except zoo.ZooError as error:
        text = str(error)
        if "\n" in text or not text.isprintable():
            return f"more than a line: {text[:200]!r}"
        if len(text) > LONGEST_SENTENCE + 100:
            return f"{len(text)} letters: {text[:100]}"
        return "refused"
    except Hang:
        return f"more than {limit} s"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "works"


def fuzz(count: int, seed: int, told: bool = False) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes by kind of change, and what was wrong."""
    from helpers import make_checkpoint
    from helpers_train import train

    import zoo

    rng, counts, wrong = random.Random(seed), Counter[str](), []
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        try:
            train(folder / "run", "trainer.max_steps=2")
            drawn = make_checkpoint(folder / "drawn.ckpt")
            run = folder / "run" / "checkpoints" / "last.ckpt"
            zoo.load(drawn).save(folder / "saved.safetensors")
            sources = [folder / "saved.safetensors", drawn, run]
            mark, target = folder / "executed", folder / "fuzzed" / "checkpoints" / "last.ckpt"
            target.parent.mkdir(parents=True)
            contents = {f: torch.load(f, weights_only=True) for f in (drawn, run)}
            before, memory = _files(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for number in range(count):
                source = rng.choice(sources)
                file = target.with_suffix(source.suffix)
                kind = _make(source, file, contents.get(source), rng, mark)
                resumes = source == run and rng.random() < 0.3
                found = outcome(file, resumes)
                counts[f"{kind}: {found if found in ('works', 'refused') else 'wrong'}"] += 1
                problems = [] if found in ("works", "refused") else [found]
                file.unlink()
                if (new := _files(folder) - before) or mark.exists():
                    problems.append(f"it wrote {sorted(new)[:3]}")
                    mark.unlink(missing_ok=True)
                    before = _files(folder)
                wrong += [
                    f"{number} {kind} of {source.name}, resumes={resumes}: {p}" for p in problems
                ]
                if told and (problems or number % 100 == 99):
                    print(f"{number + 1}: {dict(counts)} {problems}", flush=True)
        finally:
            os.chdir(here)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    if grown > MEMORY:
        wrong.append(f"the files took {grown / 1e9:.1f} GB")
    return counts, wrong


def _make(source: Path, file: Path, content: Any, rng: random.Random, mark: Path) -> str:
    if source.suffix == ".safetensors":
        kind = rng.choice(("bytes", "header"))
        change = bytes_changed if kind == "bytes" else header_changed
        file.write_bytes(change(source.read_bytes(), rng))
        return kind
    kind = rng.choice(("bytes", "values", "values", "values", "archive"))
    if kind == "bytes":
        file.write_bytes(bytes_changed(source.read_bytes(), rng))
    elif kind == "archive":
        packed_anew(source, file, rng)
    else:
        torch.save(content_changed(content, rng, mark), file)
    return kind


def _files(folder: Path) -> set[str]:
    return {str(p) for p in folder.rglob("*") if "fuzzed" not in p.parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.monotonic()
    counts, wrong = fuzz(given.files, given.seed, told=True)
    for line in wrong:
        print(line)
    shown = ", ".join(f"{k} {v}" for k, v in sorted(counts.items()))
    seconds = time.monotonic() - start
    print(f"{given.files} files, seed {given.seed}: {shown}; {len(wrong)} wrong; {seconds:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
