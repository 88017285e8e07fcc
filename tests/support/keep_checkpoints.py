"""Store small checkpoints of this version, which later versions must be able to load and resume.

python tests/support/keep_checkpoints.py     # writes tests/inference/checkpoints/VERSION/
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from helpers_train import TINY, train  # noqa: E402

import zoo  # noqa: E402

RECIPES = {
    "mlp": [*TINY, "model.conditional=false"],
    "dcgan": [
        *[o for o in TINY if "mlp" not in o and ".width" not in o],
        "datamodule.image_size=16",
        "model.generator.base_channels=4",
        "model.discriminator.base_channels=4",
        "model/regularizer=[r1]",
    ],
}


def main() -> None:
    folder = ROOT / "tests" / "inference" / "checkpoints" / zoo.__version__
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in RECIPES.items():
        with tempfile.TemporaryDirectory() as run:
            train(Path(run), *options, "trainer.max_steps=2", tiny=False)
            shutil.copyfile(Path(run) / "checkpoints" / "last.ckpt", folder / f"{name}.ckpt")
        zoo.load(folder / f"{name}.ckpt").save(folder / f"{name}.safetensors")
        (folder / f"{name}.json").unlink()


if __name__ == "__main__":
    main()
