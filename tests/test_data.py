"""Data modules: pixels, the order of images, splits, files of the known sets, resuming."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import pickle
import re
import socket
import sys
import textwrap
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

import zoo.data.base
from zoo.data import make_subset
from zoo.data.loader import OrderedLoader, TrainLoader
from zoo.data.pixels import center_crop, fit_digits, resize, to_float, to_uint8
from zoo.data.sampler import EndlessSampler
from zoo.errors import ZooError
from zoo.registry import create, list_parts

KNOWN = "celeba cifar10 cifar100 fashion_mnist image_folder mnist mnist_subset stacked_mnist svhn"


def random_images(n: int, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)


# Pixels


def test_float_and_uint8_are_inverse_on_all_values():
    stored = torch.arange(256, dtype=torch.uint8)
    images = to_float(stored)
    assert images.dtype == torch.float32
    assert images[0] == -1
    assert images[255] == 1
    assert torch.equal(to_uint8(images), stored)
    assert torch.equal(stored, torch.arange(256, dtype=torch.uint8))  # not changed in place


def test_to_uint8_clamps_and_rounds():
    images = torch.tensor([-7.0, -1.0, 0.0, 0.49 / 127.5, 1.0, 3.0])
    assert to_uint8(images).tolist() == [0, 0, 128, 128, 255, 255]
    assert to_uint8(images.bfloat16()).dtype == torch.uint8


def test_digits_get_a_border_of_two_zeros():
    digits = random_images(3, 1, 28, 28)
    padded = fit_digits(digits, 32)
    assert torch.equal(padded[..., 2:30, 2:30], digits)
    assert padded.sum() == digits.sum()
    assert fit_digits(digits, 28) is digits
    assert torch.equal(fit_digits(digits, 64), resize(padded, 64))


def keys_weights(source: int, target: int) -> np.ndarray:
    """(target, source) weights of Keys' cubic, a = -0.5, widened by the reduction."""
    scale = source / target
    width = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale
    x = np.abs(centers[:, None] - (np.arange(source) + 0.5)) / width
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [8, 20, 64])
def test_resize_is_antialiased_bicubic(size):
    images = random_images(4, 3, 40, 32) // 2 + 64  # overshoots stay within 0 and 255
    rows, columns = keys_weights(40, size), keys_weights(32, size)
    exact = np.einsum("ij,ncjk,lk->ncil", rows, images.numpy().astype(float), columns)
    error = np.abs(resize(images, size).numpy().astype(float) - exact)
    # The columns are rounded to whole levels before the rows, as in Pillow: up to half a level
    # times the sum of the rows' absolute weights, plus half a level at the end.
    assert error.max() <= 0.5 * np.abs(rows).sum(1).max() + 0.6


def test_resize_agrees_with_pillow():
    image = random_images(1, 3, 50, 50)
    pillow = Image.fromarray(image[0].permute(1, 2, 0).numpy()).resize((16, 16), Image.BICUBIC)
    ours = resize(image, 16)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - np.asarray(pillow).astype(int)).max() <= 1


def test_center_crop():
    image = torch.arange(5 * 8).view(1, 1, 5, 8)
    assert torch.equal(center_crop(image), image[..., 1:6])
    assert torch.equal(center_crop(image.mT), image.mT[..., 1:6, :])


# The order of images


def test_sampler_shows_every_image_once_per_pass():
    sampler = EndlessSampler(7, seed=3)
    stream, _ = sampler.take(0, 28)
    passes = stream.view(4, 7)
    assert all(sorted(row.tolist()) == list(range(7)) for row in passes)
    assert len({tuple(row.tolist()) for row in passes}) > 1


def test_sampler_is_a_pure_function_of_seed_and_position():
    stream, flips = EndlessSampler(7, seed=3).take(0, 100)
    for start, count in [(0, 1), (5, 4), (6, 30), (99, 1), (20, 0 + 7), (3, 90)]:
        for sampler in (EndlessSampler(7, seed=3), EndlessSampler(7, seed=3)):
            sampler.take(50, 10)  # what was taken before must not matter
            indices, mirrored = sampler.take(start, count)
            assert torch.equal(indices, stream[start : start + count])
            assert torch.equal(mirrored, flips[start : start + count])
    other, _ = EndlessSampler(7, seed=4).take(0, 100)
    assert not torch.equal(other, stream)


def test_sampler_leaves_global_random_numbers_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    EndlessSampler(10, seed=1).take(0, 25)
    assert torch.equal(torch.rand(3), expected)


def test_flips_are_fair_coins():
    _, flips = EndlessSampler(1000, seed=0).take(0, 10_000)
    assert abs(flips.float().mean() - 0.5) < 0.02  # four standard deviations
    # The coin of an image changes from pass to pass.
    order, _ = EndlessSampler(1000, seed=0).take(0, 10_000)
    per_image = torch.zeros(1000).index_add(0, order, flips.float())
    assert per_image.std() == pytest.approx((10 * 0.25) ** 0.5, rel=0.15)


def test_sampler_refuses_what_it_cannot_do():
    with pytest.raises(ZooError, match="training split is empty"):
        EndlessSampler(0)
    with pytest.raises(ZooError, match="seed=-1"):
        EndlessSampler(3, seed=-1)


# Loaders


@pytest.fixture
def numbered() -> tuple[torch.Tensor, torch.Tensor]:
    """50 images, of which each pixel is the label, but for the left column, which is 255."""
    labels = torch.arange(50)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, 4, 4)
    images[..., 0] = 255
    return images, labels


def test_train_loader_delivers_the_stream(numbered):
    images, labels = numbered
    loader = TrainLoader(images, labels, batch_size=8, steps=2, seed=5)
    batches = list(loader)
    assert len(batches) == len(loader) == 50 // 16
    assert all(x.shape == (16, 3, 4, 4) and x.dtype == torch.uint8 for x, _ in batches)
    seen = torch.cat([y for _, y in batches])
    assert torch.equal(seen, EndlessSampler(50, 5).take(0, 48)[0])
    for x, y in batches:
        assert torch.equal(x, images[y])
    assert loader.position == 48
    following = torch.cat([y for _, y in loader])
    assert torch.equal(following, EndlessSampler(50, 5).take(48, 48)[0])


def test_train_loader_takes_rows_of_a_split_only(numbered):
    chosen = torch.tensor([3, 14, 15, 9, 26, 5])
    loader = TrainLoader(*numbered, chosen, batch_size=3)
    seen = torch.cat([y for _ in range(2) for _, y in loader])
    assert sorted(seen.tolist()) == sorted(chosen.tolist() * 2)


def test_batch_larger_than_the_data_set(numbered):
    images, labels = numbered
    loader = TrainLoader(images[:3], labels[:3], batch_size=8)
    ((_, y),) = list(loader)
    assert y.bincount().tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_every_update_without_overlap(numbered, world_size):
    whole = TrainLoader(*numbered, batch_size=8, steps=3, flip=True, seed=1)
    ranks = [
        TrainLoader(
            *numbered, batch_size=8, steps=3, flip=True, seed=1, rank=r, world_size=world_size
        )
        for r in range(world_size)
    ]
    assert {len(loader) for loader in ranks} == {len(whole)}
    for together, *shares in zip(whole, *ranks, strict=True):
        for all_processes, parts in zip(together, zip(*shares, strict=True), strict=True):
            # (update, process, image): every update is the union of the processes' shares
            stacked = torch.stack([part.unflatten(0, (3, -1)) for part in parts], dim=1)
            assert torch.equal(stacked.flatten(0, 2), all_processes)


def test_batch_size_must_divide_among_processes(numbered):
    with pytest.raises(ZooError, match=r"batch_size=9 .* multiple of 2"):
        TrainLoader(*numbered, batch_size=9, world_size=2)


def test_flips_mirror_whole_images(numbered):
    images, labels = numbered
    before = images.clone()
    seen, mirrored = [], []
    for x, y in TrainLoader(images, labels, batch_size=10, flip=True, seed=2):
        for image, label in zip(x, y, strict=True):
            plain = torch.equal(image, images[label])
            assert plain or torch.equal(image, images[label].flip(-1))
            seen.append(label)
            mirrored.append(not plain)
    assert torch.equal(torch.tensor(mirrored), EndlessSampler(50, 2).take(0, 50)[1])
    assert torch.equal(images, before)


def test_ordered_loader_keeps_order_and_the_last_batch(numbered):
    images, labels = numbered
    loader = OrderedLoader(images, labels, batch_size=16)
    batches = list(loader)
    assert [len(y) for _, y in batches] == [16, 16, 16, 2]
    assert len(loader) == 4
    assert torch.equal(torch.cat([x for x, _ in batches]), images)
    assert torch.equal(torch.cat([y for _, y in batches]), labels)
    assert list(OrderedLoader(images, labels, torch.arange(0))) == []


# Data sets and their files


def write_idx(path: Path, data: np.ndarray) -> None:
    """The idx format: two zeros, the type (8: unsigned byte), the dimensions, then the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, data.ndim]) + np.array(data.shape, ">i4").tobytes()
    path.write_bytes(header + data.astype(np.uint8).tobytes())


def write_digits(root: Path, name: str = "MNIST", train: int = 40, test: int = 20) -> dict:
    """A small data set in MNIST's files: images whose first pixel is their number."""
    made = {}
    for part, size in (("train", train), ("t10k", test)):
        images = random_images(size, 28, 28, seed=size).numpy()
        images[:, 0, 0] = np.arange(size) % 256
        labels = np.arange(size) % 10
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", labels)
        made[part] = torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)
    return made


def test_every_data_set_is_registered_and_named():
    assert set(KNOWN.split()) <= set(list_parts("datamodule"))
    classes = dict.fromkeys(KNOWN.split(), 10) | {
        "cifar100": 100,
        "celeba": 0,
        "image_folder": 0,
        "stacked_mnist": 0,
    }
    for name, num_classes in classes.items():
        data = create("datamodule", name)
        assert data.name == name
        assert data.num_classes == len(data.class_names) == num_classes
        assert data.channels == (1 if "mnist" in name and "stacked" not in name else 3)
        assert data.state_dict() == {"images_seen": 0}


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")]
)
def test_idx_files_are_read_and_split(tmp_path, name, folder):
    made = write_digits(tmp_path, folder)
    data = create(
        "datamodule", name, image_size=28, data_dir=str(tmp_path), train_val_test_split=[30, 10, 20]
    )
    train, val = data.split("train"), data.split("val")
    numbers = torch.cat([train[0][:, 0, 0, 0], val[0][:, 0, 0, 0]])
    assert sorted(numbers.tolist()) == list(range(40))  # disjoint and complete
    for images, labels in (train, val):
        rows = images[:, 0, 0, 0].long()
        assert torch.equal(images, made["train"][0][rows])
        assert torch.equal(labels, made["train"][1][rows])
        assert labels.dtype == torch.int64
    images, labels = data.split("test")
    assert torch.equal(images, made["t10k"][0])
    assert torch.equal(labels, made["t10k"][1])
    batches = list(data.test_dataloader())
    assert torch.equal(torch.cat([x for x, _ in batches]), images)
    assert len(data.class_names) == 10


def test_splits_are_the_same_for_every_seed(tmp_path):
    write_digits(tmp_path)
    options = {"data_dir": str(tmp_path), "train_val_test_split": [20, 5, 7]}
    first, second = (create("datamodule", "mnist", seed=seed, **options) for seed in (1, 2))
    for split, size in (("train", 20), ("val", 5), ("test", 7)):
        images, labels = first.split(split)
        assert len(images) == len(labels) == size
        assert torch.equal(images, second.split(split)[0])
    orders = [torch.cat([y for _, y in data.train_dataloader()]) for data in (first, second)]
    assert not torch.equal(*orders)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ([40, 1, 20], r"asks for 41 images .* there are 40 and 20"),
        ([30, 10, 21], r"and 21 to test on"),
        ([30, 10], r"must be three numbers"),
        ([30, -1, 5], r"must be three numbers"),
    ],
)
def test_split_that_does_not_fit(tmp_path, split, message):
    write_digits(tmp_path)
    with pytest.raises(ZooError, match=message):
        create("datamodule", "mnist", data_dir=str(tmp_path), train_val_test_split=split).setup()


def test_bad_sizes_are_refused():
    with pytest.raises(ZooError, match="batch_size=0"):
        create("datamodule", "mnist_subset", batch_size=0)
    with pytest.raises(ZooError, match="image_size=0"):
        create("datamodule", "mnist_subset", image_size=0)
    data = create("datamodule", "mnist_subset", batch_size=8)
    with pytest.raises(ZooError, match="multiple of batch_size=8"):
        data.images_per_step = 12
    with pytest.raises(ZooError, match="no split 'valid'"):
        data.split("valid")


def test_images_per_step_sets_the_updates_of_a_batch():
    data = create("datamodule", "mnist_subset", batch_size=8)
    data.images_per_step = 40
    assert data.d_steps == 5
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (40, 1, 32, 32)
    assert labels.shape == (40,)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_missing_files_without_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{closed_port()}/mnist/"])
    data = create("datamodule", "mnist", data_dir=str(tmp_path))
    with pytest.raises(ZooError) as caught:
        data.prepare_data()
    text = str(caught.value)
    assert str(tmp_path / "MNIST/raw/train-images-idx3-ubyte") in text
    assert "127.0.0.1" in text
    assert "refused" in text
    assert "datamodule=mnist_subset" in text
    assert "\n" not in text
    with pytest.raises(ZooError, match="is not there"):
        data.setup()


@pytest.mark.parametrize(
    ("name", "file"),
    [("cifar10", "data_batch_1"), ("cifar100", "train"), ("svhn", "train_32x32.mat")],
)
def test_other_missing_sets_say_what_and_where(tmp_path, monkeypatch, name, file):
    monkeypatch.setenv("no_proxy", "*")
    url = f"http://127.0.0.1:{closed_port()}/file"
    monkeypatch.setattr(datasets.CIFAR10, "url", url)
    monkeypatch.setattr(datasets.CIFAR100, "url", url)
    monkeypatch.setitem(datasets.SVHN.split_list, "train", [url, "train_32x32.mat", ""])
    with pytest.raises(ZooError, match=rf"{name} is not there: {tmp_path}.*{file} does not exist"):
        create("datamodule", name, data_dir=str(tmp_path)).prepare_data()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def test_download_from_a_server(tmp_path, monkeypatch):
    made = write_digits(tmp_path / "made")
    served = tmp_path / "served"
    served.mkdir()
    resources = []
    for file, _ in datasets.MNIST.resources:
        raw = (tmp_path / "made/MNIST/raw" / Path(file).stem).read_bytes()
        (served / file).write_bytes(gzip.compress(raw))
        resources.append((file, hashlib.md5((served / file).read_bytes()).hexdigest()))
    handler = partial(QuietHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(datasets.MNIST, "resources", resources)
        mirrors = [f"http://127.0.0.1:{closed_port()}/", f"http://127.0.0.1:{server.server_port}/"]
        monkeypatch.setattr(datasets.MNIST, "mirrors", mirrors)
        before = socket.getdefaulttimeout()
        data = create(
            "datamodule",
            "mnist",
            image_size=28,
            data_dir=str(tmp_path / "data"),
            train_val_test_split=[40, 0, 20],
        )
        data.prepare_data()
        server.shutdown()
    assert socket.getdefaulttimeout() == before
    data.setup()
    assert torch.equal(data.split("train")[0], made["train"][0])


def test_damaged_file_is_named(tmp_path):
    write_digits(tmp_path)
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ZooError, match=rf"{file.parent} cannot be read .* damaged"):
        create("datamodule", "mnist", data_dir=str(tmp_path)).setup()


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_files(tmp_path, monkeypatch, name):
    reader = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    folder = tmp_path / reader.base_folder
    folder.mkdir()
    key = "labels" if name == "cifar10" else "fine_labels"
    parts = {"train_list": [], "test_list": []}
    made = []
    for attribute, entries in parts.items():
        for number, (file, _) in enumerate(getattr(reader, attribute)):
            images = random_images(4, 3, 32, 32, seed=len(made))
            content = {"data": images.numpy().reshape(4, -1), key: [number] * 4}
            (folder / file).write_bytes(pickle.dumps(content))
            entries.append([file, md5_of(folder / file)])
            made.append(images)
        monkeypatch.setattr(reader, attribute, entries)
    meta = folder / reader.meta["filename"]
    data = create(
        "datamodule", name, data_dir=str(tmp_path), train_val_test_split=[4 * len(made) - 4, 0, 4]
    )
    meta.write_bytes(pickle.dumps({reader.meta["key"]: data.class_names}))
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5_of(meta)})
    images, labels = data.split("train")
    assert torch.equal(images, torch.cat(made[:-1]))
    assert labels.tolist() == [n for n in range(len(made) - 1) for _ in range(4)]
    assert torch.equal(data.split("test")[0], made[-1])
    assert data.split("val")[0].shape == (0, 3, 32, 32)
    assert list(data.val_dataloader()) == []
    # Pickles run code when read: one with another checksum is not opened.
    (folder / parts["test_list"][0][0]).write_bytes(b"other")
    with pytest.raises(ZooError, match="damaged"):
        create("datamodule", name, data_dir=str(tmp_path)).setup()


def test_svhn_files(tmp_path, monkeypatch):
    made = {}
    for part in ("train", "test"):
        file = tmp_path / f"{part}_32x32.mat"
        images = random_images(5, 3, 32, 32, seed=len(made))
        labels = np.array([[10], [1], [2], [9], [10]], np.uint8)  # 10 stands for 0
        savemat(file, {"X": images.permute(2, 3, 1, 0).numpy(), "y": labels})
        monkeypatch.setitem(datasets.SVHN.split_list, part, ["", file.name, md5_of(file)])
        made[part] = images
    data = create("datamodule", "svhn", data_dir=str(tmp_path), train_val_test_split=[5, 0, 5])
    assert torch.equal(data.split("train")[0], made["train"])
    assert data.split("test")[1].tolist() == [0, 1, 2, 9, 0]
    smaller = create(
        "datamodule", "svhn", image_size=16, data_dir=str(tmp_path), train_val_test_split=[5, 0, 5]
    )
    assert smaller.split("train")[0].shape == (5, 3, 16, 16)


# The embedded subset


def test_embedded_subset_is_the_one_that_was_made():
    assert sum(file.stat().st_size for file in make_subset.FILES.values()) <= 3_000_000
    digests = {}
    for split, size in make_subset.SIZES.items():
        images, labels = make_subset.read(split)
        assert images.shape == (size, 1, 28, 28)
        assert labels.bincount().tolist() == [size // 10] * 10
        digests[split] = hashlib.sha256(images.numpy().tobytes()).hexdigest()[:16]
    assert digests == {"train": "6ceb9ab9ed8f469c", "test": "bb0357c32e4269a7"}


def test_subset_maker_round_trip(tmp_path, monkeypatch):
    """From idx files to mosaics and back, and the same bytes again the second time."""
    for part, size in (("train", 11_000), ("t10k", 2_500)):
        images = np.zeros((size, 28, 28), np.uint8)
        images[:, 0, :2] = np.stack([np.arange(size) // 256, np.arange(size) % 256], axis=1)
        raw = tmp_path / "MNIST/raw"
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", np.arange(size) * 7 % 10)
    written = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        arguments = ["--data-dir", str(tmp_path), "--out", str(tmp_path / run)]
        monkeypatch.setattr(sys, "argv", ["make_subset", *arguments])
        make_subset.main()
        files = {split: tmp_path / run / file.name for split, file in make_subset.FILES.items()}
        written.append({split: file.read_bytes() for split, file in files.items()})
    assert written[0] == written[1]
    monkeypatch.setattr(make_subset, "FILES", files)
    images, labels = make_subset.read("train")
    rows = images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1]
    assert len(rows.unique()) == 10_000
    assert torch.equal(rows * 7 % 10, labels)
    assert rows.max() > 10_980  # the choice reaches the end of the official order


def test_default_needs_no_files(tmp_path):
    data = create("datamodule", "mnist_subset", data_dir=str(tmp_path / "nothing"))
    data.prepare_data()
    data.setup()
    sizes = [len(data.split(split)[0]) for split in ("train", "val", "test")]
    assert sizes == [9000, 1000, 2000]
    everything = torch.cat([data.split(split)[0] for split in ("train", "val")]).flatten(1)
    official = make_subset.read("train")[0].flatten(1)
    assert len(everything.unique(dim=0)) == len(official.unique(dim=0))


def test_stacked_mnist_stacks_digits_of_its_modes():
    data, again = (
        create(
            "datamodule", "stacked_mnist", source="mnist_subset", train_val_test_split=[500, 20, 30]
        )
        for _ in range(2)
    )
    images, modes = data.split("train")
    assert images.shape == (500, 3, 28, 28)
    assert torch.equal(images, again.split("train")[0])
    assert [len(data.split(split)[0]) for split in ("val", "test")] == [20, 30]
    digits, labels = create("datamodule", "mnist_subset", image_size=28).split("train")
    label_of = dict(zip((d.numpy().tobytes() for d in digits), labels.tolist(), strict=True))
    for image, mode in zip(images, modes.tolist(), strict=True):
        assert [label_of[plane.numpy().tobytes()] for plane in image] == [
            mode // 100,
            mode // 10 % 10,
            mode % 10,
        ]
    assert len(modes.unique()) > 350  # of 1000, by 500 draws: 394 expected


# A plugin, and Lightning


def test_example_in_the_docstring_works():
    source = textwrap.dedent(zoo.data.base.__doc__.split("`:\n", 1)[1])
    assert len(re.findall(r"^\s*\S", source, re.M)) <= 20
    scope: dict = {"__name__": "blobs_of_the_docstring"}
    exec(source, scope)
    data = scope["Blobs"](image_size=8)
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (64, 1, 8, 8)
    assert torch.equal(images[:, 0, 0, 0].long(), labels * 25)
    assert [len(data.split(split)[0]) for split in ("train", "val", "test")] == [1000, 0, 100]


class Recorder(pl.LightningModule):
    """Writes down what it is trained on; stops at `stop_after` batches, as if killed."""

    def __init__(self, checkpoint: Path, save_after: int = -1, stop_after: int = -1) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.checkpoint, self.save_after, self.stop_after = checkpoint, save_after, stop_after
        self.seen: list[list[int]] = []
        self.epochs: list[int] = []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        if len(self.seen) == self.stop_after:  # this batch was fetched but not trained on
            raise InterruptedError
        self.optimizers().step()
        self.seen.append([batch_idx, *images.flatten(1).sum(1).tolist(), *labels.tolist()])
        self.epochs.append(self.current_epoch)
        self.trainer.datamodule.images_seen += self.trainer.datamodule.images_per_step

    def on_train_batch_end(self, *_):
        if len(self.seen) == self.save_after:
            self.trainer.save_checkpoint(self.checkpoint)


def train(module: Recorder, data, resume: Path | None = None) -> None:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume)


# Epochs are 6 batches long: in the middle of one, before its last batch, and at its end.
@pytest.mark.parametrize("save_after", [3, 8, 11, 12])
def test_resumed_run_sees_what_the_uninterrupted_one_sees(tmp_path, save_after):
    write_digits(tmp_path)

    def data():
        made = create(
            "datamodule",
            "mnist",
            batch_size=3,
            flip=True,
            seed=4,
            data_dir=str(tmp_path),
            train_val_test_split=[40, 0, 20],
        )
        made.images_per_step = 6
        return made

    checkpoint = tmp_path / "resume.ckpt"
    whole = Recorder(checkpoint)
    train(whole, data())
    assert len(whole.seen) == 18
    assert whole.epochs == [0] * 6 + [1] * 6 + [2] * 6

    broken = Recorder(checkpoint, save_after=save_after, stop_after=save_after + 1)
    with pytest.raises(InterruptedError):
        train(broken, data())
    assert broken.seen == whole.seen[: save_after + 1]

    resumed = Recorder(checkpoint)
    train(resumed, data(), resume=checkpoint)
    assert resumed.seen == whole.seen[save_after:]
    assert resumed.epochs == whole.epochs[save_after:]
