"""Train one of the embedded feature networks and store it with its test accuracy.

    python -m zoo.metrics.features.train --data-dir ../shared/data --dataset mnist

takes four minutes on one core (Fashion-MNIST: seven, CIFAR-10: twenty) and writes
`mnist.safetensors` (fp16, with batch norm folded in) and `mnist.json` to
`zoo/metrics/features/weights`. The training images are scaled, shifted and rotated at random, so
that it matters little whether images were resized or padded to 32x32. With `--folder`, images are
read from `FOLDER/train/CLASS` and `FOLDER/test/CLASS` instead of the data set's own files.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from zoo.core.atomic import write_json
from zoo.data.base import Split
from zoo.layers.pretrained import file_hash
from zoo.metrics.features.classifier import (
    INPUT_SIZE,
    SmallClassifier,
    fit_input,
    predict,
    train_classifier,
)
from zoo.registry import create

WEIGHTS = Path(__file__).parent / "weights"
SIZES = {"mnist": 28, "fashion_mnist": 28, "cifar10": 32}
EPOCHS = {"mnist": 6, "fashion_mnist": 10, "cifar10": 40}
AUGMENTATION: dict[str, dict[str, Any]] = {
    "mnist": {"rotation": 10, "zoom": (0.85, 1.2), "flip": False},
    "fashion_mnist": {"rotation": 0, "zoom": (0.9, 1.15), "flip": True},
    "cifar10": {"rotation": 0, "zoom": (0.9, 1.15), "flip": True},
}


def augmented(images: Tensor, rotation: float, zoom: tuple[float, float], flip: bool) -> Tensor:
    """Scale within `zoom`, shift by up to 2 pixels, rotate by up to `rotation` degrees, flip."""
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, device=images.device)

    angle = uniform(-rotation, rotation) * (math.pi / 180)
    scale = 1 / uniform(*zoom)
    sign = torch.where(torch.rand(n, device=images.device) < 0.5, -1.0, 1.0) if flip else 1.0
    shift = 4 / INPUT_SIZE
    rows = [
        torch.stack([sign * scale * angle.cos(), -scale * angle.sin(), uniform(-shift, shift)], 1),
        torch.stack([sign * scale * angle.sin(), scale * angle.cos(), uniform(-shift, shift)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [n, 1, INPUT_SIZE, INPUT_SIZE], align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def load(dataset: str, data_dir: str, folder: str | None, split: Split) -> tuple[Tensor, Tensor]:
    """Return all images and labels of a split of the data set."""
    if folder is not None:
        data = create("datamodule", "image_folder", image_size=SIZES[dataset], folder=folder)
        data.setup()
        return data.split(split)
    data = create("datamodule", dataset, image_size=SIZES[dataset], data_dir=data_dir)
    data.prepare_data()
    return data.load(split)


def accuracy(network: SmallClassifier, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy of a classifier, rounded to four decimals."""
    return round((predict(network, images) == labels).double().mean().item(), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--dataset", choices=sorted(SIZES), default="mnist")
    parser.add_argument("--folder", help="a folder with images in train/CLASS and test/CLASS")
    parser.add_argument("--epochs", type=float, help=f"default: {EPOCHS}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    images, labels = load(args.dataset, args.data_dir, args.folder, "train")
    epochs = args.epochs or EPOCHS[args.dataset]
    network = SmallClassifier(images.shape[1])
    train_classifier(
        network,
        fit_input(images),
        labels,
        epochs=epochs,
        seed=args.seed,
        augment=lambda x: augmented(x, **AUGMENTATION[args.dataset]),
        report=lambda step, steps, loss: print(f"step {step}/{steps}: loss {loss:.4f}", flush=True),
    )

    stored = {name: w.half().contiguous() for name, w in network.fuse().state_dict().items()}
    args.output.mkdir(parents=True, exist_ok=True)
    path = args.output / f"{args.dataset}.safetensors"
    save_file(stored, path)

    reloaded = SmallClassifier(images.shape[1], batch_norm=False)
    reloaded.load_state_dict({name: w.float() for name, w in stored.items()})
    images, labels = load(args.dataset, args.data_dir, args.folder, "test")
    scaled = F.interpolate(images.float(), size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear")
    source = f" --folder {Path(args.folder).name}" if args.folder else ""
    card = {
        "dataset": args.dataset,
        "test_accuracy": accuracy(reloaded, images, labels),
        "test_accuracy_scaled_to_32": accuracy(reloaded, scaled.round().byte(), labels),
        "sha256": file_hash(path),
        "epochs": epochs,
        "seed": args.seed,
        "torch": torch.__version__,
        "made_by": f"python -m zoo.metrics.features.train --dataset {args.dataset}{source}",
    }
    write_json(path.with_suffix(".json"), card)
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
