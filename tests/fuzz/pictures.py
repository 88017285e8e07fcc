"""Mutated pictures through the data room: each is read, left out, or named in one sentence.

python tests/fuzz/pictures.py --pictures 200 --seed 0
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
FUZZ = Path(__file__).parent
sys.path[:0] = [str(ROOT), str(FUZZ), str(ROOT / "tests" / "support")]

FORMATS = ("png", "jpg", "webp", "gif", "bmp", "tiff", "ppm", "png16", "tiff32", "palette", "cmyk")
LIMIT = 60
MEMORY = 1_500_000_000


def picture(kind: str, rng: random.Random) -> tuple[str, bytes]:
    """The ending and the bytes of a whole picture."""
    pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (20, 24, 3), np.uint8)
    image = Image.fromarray(pixels)
    ending = {"png16": "png", "palette": "png", "tiff32": "tiff", "cmyk": "jpg"}.get(kind, kind)
    if kind == "png16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif kind == "tiff32":
        image = Image.fromarray(pixels[..., 0].astype(np.float32))
    elif kind == "palette":
        image = image.convert("P")
    elif kind == "cmyk":
        image = image.convert("CMYK")
    opened = io.BytesIO()
    image.save(opened, {"jpg": "jpeg"}.get(ending, ending))
    return ending, opened.getvalue()


def bomb(data: bytes, rng: random.Random) -> bytes:
    """A PNG that claims other sizes: of its pixels, or of a chunk."""
    changed = bytearray(data)
    if changed.startswith(b"\x89PNG"):
        place = rng.choice((16, 20))
        changed[place : place + 4] = rng.choice((2**31 - 1, 100_000, 0, 65_535)).to_bytes(4, "big")
    return bytes(changed)


def outcome(folder: Path, cache: Path, on_error: str) -> str:
    """`read`, `left out`, `refused`, or what is wrong."""
    import zoo

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT)
    try:
        data = zoo.create(
            "datamodule", "image_folder", folder=str(folder), image_size=8, labels="none",
            data_dir=str(cache), on_error=on_error, batch_size=2,
        )  # fmt: skip
        data.prepare_data()
        data.setup()
        images, _ = data.split("train")
        if tuple(images.shape[1:]) != (3, 8, 8) or not len(images):
            return f"images of {tuple(images.shape)}"
        return "read" if data.size("train") == 3 else "left out"
    except zoo.ZooError as error:
        return "refused" if "\n" not in str(error) else f"two lines: {str(error)[:200]}"
    except TimeoutError:
        return f"more than {LIMIT} s"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(count: int, seed: int, told: bool = False) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes, and what was wrong."""
    from checkpoints import bytes_changed

    rng, counts, wrong = random.Random(seed), Counter[str](), []
    warnings.simplefilter("ignore")  # of what is left out
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            folder, cache = Path(name) / f"p{number}", Path(name) / f"c{number}"
            folder.mkdir()
            for good in ("a", "b"):
                (folder / f"{good}.png").write_bytes(picture("png", rng)[1])
            kind = rng.choice(FORMATS)
            ending, data = picture(kind, rng)
            change = bomb if kind == "png" and rng.random() < 0.4 else bytes_changed
            other = rng.choice(FORMATS[:7]) if rng.random() < 0.2 else ending
            (folder / f"broken.{other}").write_bytes(change(data, rng))
            on_error = rng.choice(("skip", "raise"))
            found = outcome(folder, cache, on_error)
            counts[found if found in ("read", "left out", "refused") else "wrong"] += 1
            if counts["wrong"] > len(wrong):
                wrong.append(f"{number} {kind} as {other}, on_error={on_error}: {found}")
                if told:
                    print(wrong[-1], flush=True)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    if grown > MEMORY:
        wrong.append(f"the pictures took {grown / 1e9:.1f} GB")
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.monotonic()
    counts, wrong = fuzz(given.pictures, given.seed, told=True)
    shown = ", ".join(f"{k} {v}" for k, v in sorted(counts.items()))
    seconds = f"{time.monotonic() - start:.0f} s"
    print(f"{given.pictures} pictures, seed {given.seed}: {shown}; {len(wrong)} wrong; {seconds}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
