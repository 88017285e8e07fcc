"""`task=evaluate` on folders of pictures, and on the checkpoints of a training."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import make_checkpoint
from PIL import Image
from torch import Tensor

import zoo
from zoo.core.errors import ZooError
from zoo.data.pixels import to_float, to_uint8
from zoo.inference.images import to_pil
from zoo.metrics import cache
from zoo.metrics.distances import frechet_distance
from zoo.metrics.features.base import create_features, extract
from zoo.metrics.folders import look_at
from zoo.metrics.protocol import Result
from zoo.metrics.references import loader_reference
from zoo.tasks.evaluate import Evaluate


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-cache"))


def noise(n: int, seed: int, size: int = 16, channels: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, size, size), generator=random, dtype=torch.uint8)


def write(images: Tensor, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        to_pil(image).save(folder / f"{i:03d}.png")
    return folder


def read(out: Path) -> Result:
    return Result.from_json((out / "metrics.json").read_text())


# Folders


def test_two_folders_are_compared(tmp_path: Path) -> None:
    generated, real = noise(30, 0), noise(40, 1) // 2
    options: dict[str, Any] = {"features": "mnist", "metrics": ["fid", "memorization"]}
    folders = {
        "images": str(write(generated, tmp_path / "a")),
        "dataset": str(write(real, tmp_path / "b")),
    }
    Evaluate(**folders, **options)(tmp_path / "out")
    result = read(tmp_path / "out")
    network = create_features("mnist")
    expected = frechet_distance(extract(network, generated)[0], extract(network, real)[0])
    assert result.figures["fid"] == pytest.approx(expected, rel=1e-6)
    assert result.model == folders["images"]
    protocol = result.protocol
    assert (protocol.generated_count, protocol.reference_count) == (30, 40)
    assert protocol.reference == "image_folder/train 1x16x16"
    assert "30 pictures (16x16 as they are, labels none, seed 0) against 40" in result.table()
    assert (tmp_path / "out" / "nearest.png").is_file()
    # the same from Python, of a folder and of a loader
    again = zoo.evaluate(images=tmp_path / "a", data=tmp_path / "b", **options)
    batches = [to_float(generated[:20]), to_float(generated[20:])]
    loaded = zoo.evaluate(images=batches, data=[real], **options)
    assert again.figures == result.figures
    assert loaded.figures == pytest.approx(result.figures)
    few = [zoo.evaluate(images=i, data=[real], n=20, **options) for i in (tmp_path / "a", batches)]
    assert [f.protocol.generated_count for f in few] == [20, 20]
    assert few[0].figures == pytest.approx(few[1].figures)
    with pytest.raises(ZooError, match="n=31 pictures were requested, but the loader has 30"):
        zoo.evaluate(images=batches, data=[real], n=31, **options)


def test_pictures_come_to_the_shape_of_oblong_real_ones(tmp_path: Path) -> None:
    write(noise(6, 0, 24), tmp_path / "a")
    real = noise(6, 1, 24)[:, :, :12]
    options: dict[str, Any] = {"features": "mnist", "metrics": ["kid"], "data": [real]}
    result = zoo.evaluate(images=tmp_path / "a", **options)
    assert result.protocol.pictures == "centred window, bicubic antialiased to 24x12"
    write(real, tmp_path / "b")
    same = zoo.evaluate(images=tmp_path / "b", **options)
    assert same.protocol.pictures == "24x12 as they are"
    assert same.figures["kid"] == pytest.approx(
        zoo.evaluate(images=[real], **options).figures["kid"]
    )


def test_classes_in_another_order_are_the_same_classes(tmp_path: Path) -> None:
    """A folder counts them by name, a .npz file as it says: the labels are those of the model."""
    images, labels = noise(40, 0), torch.arange(40) % 2
    images[labels == 1] //= 2
    for number, name in enumerate(("dog", "cat")):
        write(images[labels == number], tmp_path / "a" / name)
    made = {"images": images[:, 0].numpy(), "labels": labels.numpy()}
    np.savez(tmp_path / "a.npz", **made, class_names=np.array(["dog", "cat"]))
    np.savez(tmp_path / "b.npz", **made, class_names=np.array(["fox", "cat"]))
    file = make_checkpoint(tmp_path / "m.ckpt", num_classes=2, class_names=["dog", "cat"])
    results = {
        place: zoo.evaluate(
            str(file), data=str(tmp_path / place), n=40, features="mnist", metrics=["per_class_fid"]
        )
        for place in ("a", "a.npz", "b.npz")
    }
    for result in results.values():  # an untrained G is nearer to the bright dogs
        dogs, cats = result.per_class["fid"]
        assert dogs < cats
    note = "Classes are matched by number: 'dog' of the generator is compared with 'fox'"
    told = [any(n.startswith(note) for n in result.notes) for result in results.values()]
    assert told == [False, False, True]


PIXELS, CLASSES = noise(6, 0, 8), torch.arange(6) % 3


@pytest.mark.parametrize(
    ("batches", "reason"),
    [
        ([PIXELS, PIXELS.float()], r"batch 2 of the loader has float images from \d+ to 25\d"),
        ([to_float(PIXELS) * torch.nan], "has float images from nan to nan"),
        ([PIXELS.int()], r"batch 1 of the loader has images of torch\.int32: pass uint8"),
        (
            [PIXELS, PIXELS[..., :4]],
            r"shape \(6, 1, 8, 4\), but those before it had \(6, 1, 8, 8\)",
        ),
        ([(PIXELS, CLASSES + 1)], "has labels from 1 to 3: labels are integers"),
        ([(PIXELS, CLASSES - 1)], "has labels from -1 to 1"),
        ([(PIXELS, CLASSES / 2)], "has labels of torch.float32"),
    ],
)
def test_batches_of_another_range_or_other_classes_are_refused(batches: Any, reason: str) -> None:
    """They would be clamped, or taken for no class, and give figures that say nothing."""
    with pytest.raises(ZooError, match=reason):
        loader_reference(batches, num_classes=3)


def test_batches_from_0_to_1_are_pointed_out() -> None:
    pixels = PIXELS - PIXELS.min()
    with pytest.warns(UserWarning, match="batch 2 of the loader has float images from 0 to 1"):
        loader_reference([pixels[:0], pixels / pixels.max()])


def test_generated_images_beyond_the_range_are_clamped_as_a_generator_s_are() -> None:
    beyond = 1.5 * to_float(PIXELS)
    with pytest.raises(ZooError, match=r"has float images from -1\.\d+ to 1\.\d+"):
        loader_reference([beyond])
    made = loader_reference([beyond], generated=True).images
    assert torch.equal(made, to_uint8(beyond.clamp(-1, 1)))
    for wrong in (PIXELS.float(), torch.nan * beyond):
        with pytest.raises(ZooError, match="has float images from"):
            loader_reference([wrong], generated=True)


def test_points_of_a_loader_keep_their_digits() -> None:
    points = torch.rand(50, 2, 1, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = zoo.evaluate(
        images=[points], data=[points + 1e-4], features="points", metrics=["memorization"]
    )
    (nearest, *_) = found.pairs
    assert nearest[2] == pytest.approx(1e-4 * 2**0.5, rel=1e-2)


def test_pictures_of_several_sizes_are_resized_and_it_is_told(tmp_path: Path) -> None:
    write(noise(6, 0, 16), tmp_path / "a")
    write(noise(6, 1, 24, channels=3), tmp_path / "b")
    Image.new("RGB", (40, 20)).save(tmp_path / "b" / "wide.png")
    look = look_at(tmp_path / "b")
    assert (look.side, look.in_words, look.grey) == (20, "24x24 to 40x20", False)
    options: dict[str, Any] = {"features": "mnist", "metrics": ["kid"]}
    folders = {"images": str(tmp_path / "a"), "dataset": str(tmp_path / "b")}
    Evaluate(**folders, **options)(tmp_path / "out")
    result = read(tmp_path / "out")
    assert result.protocol.reference == "image_folder/train 3x16x16"
    assert result.notes[0].endswith(
        "/a has pictures of 16x16; they are compared as 16x16 as they are."
    )
    assert (
        "has pictures of 24x24 to 40x20; they are compared as centred square, bicubic"
        in (result.notes[1])
    )
    with pytest.warns(UserWarning, match="are enlarged"):
        Evaluate(**folders, **options, image_size=22)(tmp_path / "larger")
    larger = read(tmp_path / "larger").protocol
    assert larger.pictures == "centred square, bicubic antialiased to 22x22"
    assert any(text.startswith("pictures: ") for text in result.protocol.differences(larger))


def test_sub_folders_named_as_classes_are_labels(tmp_path: Path) -> None:
    data = zoo.create("datamodule", "mnist_subset")
    data.setup()
    images, labels = data.split("test")
    for digit in (3, 8):
        write(images[labels == digit][:12], tmp_path / "a" / str(digit))
    options: dict[str, Any] = {"images": str(tmp_path / "a"), "dataset": "mnist_subset"}
    Evaluate(**options, metrics=["conditional_accuracy"])(tmp_path / "out")
    assert read(tmp_path / "out").figures["conditional_accuracy"] > 0.9
    assert read(tmp_path / "out").protocol.labels == "own"
    (tmp_path / "a" / "8").rename(tmp_path / "a" / "eight")
    with pytest.raises(ZooError, match="conditional_accuracy needs a conditional generator"):
        Evaluate(**options, metrics=["conditional_accuracy"])(tmp_path / "out")
    Evaluate(**options, metrics=["kid"], n=10)(tmp_path / "few")
    result = read(tmp_path / "few")
    assert result.protocol.generated_count == 10
    assert "are not classes of mnist_subset/train 1x32x32, so the pictures" in result.notes[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": None}, r"images=… needs dataset=…"),
        ({"images": "nowhere"}, "no folder of pictures nowhere"),
        ({"dataset": "mnist_subse"}, "Did you mean 'mnist_subset'"),
        ({"dataset": "gaussians"}, "2 channels and cannot be compared with pictures"),
        ({"n": 7}, "n=7 pictures were requested, but .* has 6"),
        ({"weights": "ema", "truncation": 1.0}, "weights, truncation applies to a generator"),
        ({"ckpt": "mnist"}, "or images=FOLDER instead of it"),
    ],
)
def test_what_does_not_go_with_folders_is_told(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = str(write(noise(6, 0), tmp_path / "a"))
    given = {"images": folder, "dataset": folder, "features": "mnist", **options}
    with pytest.raises(ZooError, match=message):
        Evaluate(**given)(tmp_path / "out")


# Ranges of checkpoints


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three moments, the last of which is `last.ckpt` too, and a damaged file."""
    folder = tmp_path / "run" / "checkpoints"
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    for k in (3, 1, 2):
        seen = 100 * k
        make_checkpoint(folder / f"images_{seen:09d}.ckpt", seed=k, images_seen=seen)
    shutil.copy(folder / "images_000000300.ckpt", folder / "last.ckpt")
    (folder / "images_000000250.ckpt").write_bytes(b"damaged")
    return tmp_path / "run"


def test_a_range_of_checkpoints_is_a_curve(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    read_of_the_reference = []

    def counted(*given: Any) -> Any:
        read_of_the_reference.append(given)
        return extract(*given)

    monkeypatch.setattr(cache, "extract", counted)
    options: dict[str, Any] = {"metrics": ["fid", "kid"], "n": 60}
    with pytest.warns(UserWarning, match=r"left out: .*images_000000250.ckpt is damaged"):
        summary = Evaluate(ckpt=str(run / "checkpoints"), **options)(tmp_path / "out")
    assert summary["curve"] == "out/curve.csv, out/curve.json"  # from here
    assert len(read_of_the_reference) == 1
    with (tmp_path / "out" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], int(row["images_seen"])) for row in rows] == [
        ("run", 100),
        ("run", 200),
        ("run", 300),
    ]
    assert list(rows[0]) == ["run", "images_seen", "fid", "kid", "kid_std"]
    content = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert [row["figures"]["fid"] for row in content] == [float(row["fid"]) for row in rows]
    assert (tmp_path / "out" / "curve.png").stat().st_size > 1000
    lines = (tmp_path / "out" / "metrics.txt").read_text().splitlines()
    shown = [line.split("  ")[0] for line in lines if line.startswith("dcgan")]
    assert shown == [f"dcgan (run, {k}00 images seen)" for k in (1, 2, 3)]
    # one of them alone says the same, and a pattern in Python too
    alone = {**options, "metrics": ["fid", "memorization"]}
    file = run / "checkpoints" / "images_000000200.ckpt"
    summary = Evaluate(ckpt=str(file), **alone)(tmp_path / "one")
    words = "generated images above their nearest real images"
    assert summary["nearest"] == f"one/nearest.png ({words})"
    assert read(tmp_path / "one").figures["fid"] == pytest.approx(float(rows[1]["fid"]))
    assert not (tmp_path / "one" / "curve.csv").exists()
    curve = zoo.evaluate([run / "checkpoints" / "images_*[13]00.ckpt"], **options)
    assert [result.images_seen for result in curve] == [100, 300]
    assert curve[1].figures["fid"] == pytest.approx(float(rows[2]["fid"]))


def test_ranges_that_hold_nothing_are_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no file matches the pattern"):
        Evaluate(ckpt=str(run / "checkpoints" / "epoch_*.ckpt"))(tmp_path / "out")
    for file in (run / "checkpoints").iterdir():
        file.write_bytes(b"damaged")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(ZooError, match="none of the 5 files"),
    ):
        Evaluate(ckpt=str(run / "checkpoints"))(tmp_path / "out")
