"""The known data sets: their files, splits, downloads and errors; the embedded subset."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import pickle
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_data import random_images, write_digits, write_idx
from scipy.io import savemat
from torchvision import datasets

from zoo.core.errors import ZooError
from zoo.data.sets import make_subset, mnist_subset
from zoo.registry import create, list_parts

KNOWN = "celeba cifar10 cifar100 fashion_mnist image_folder mnist mnist_subset stacked_mnist svhn"


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
        ([30, 10, 21], r"and 21 for testing"),
        ([30, 10], r"must be three numbers"),
        ([30, -1, 5], r"must be 0 or more"),
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
    with pytest.raises(ZooError, match="was not found"):
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
    with pytest.raises(ZooError, match=rf"{name} was not found: {tmp_path}.*{file} does not exist"):
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
    assert sum(file.stat().st_size for file in mnist_subset.FILES.values()) <= 3_000_000
    digests = {}
    for split, size in make_subset.SIZES.items():
        images, labels = mnist_subset.read(split)
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
        files = {split: tmp_path / run / file.name for split, file in mnist_subset.FILES.items()}
        written.append({split: file.read_bytes() for split, file in files.items()})
    assert written[0] == written[1]
    monkeypatch.setattr(mnist_subset, "FILES", files)
    images, labels = mnist_subset.read("train")
    rows = images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1]
    assert len(rows.unique()) == 10_000
    assert torch.equal(rows * 7 % 10, labels)
    assert rows.max() > 10_980  # the choice reaches the end of the official order


def test_default_needs_no_files(tmp_path):
    data = create("datamodule", "mnist_subset", data_dir=str(tmp_path / "nothing"))
    data.prepare_data()
    data.setup()
    sizes = [len(data.split(split)[0]) for split in ("train", "val", "test")]
    assert sizes == [10000, 0, 2000]
    everything = torch.cat([data.split(split)[0] for split in ("train", "val")]).flatten(1)
    official = mnist_subset.read("train")[0].flatten(1)
    assert len(everything.unique(dim=0)) == len(official.unique(dim=0))


def test_stacked_mnist_stacks_digits_of_its_modes():
    data, again = (
        create(
            "datamodule", "stacked_mnist", source="mnist_subset", train_val_test_split=[500, 0, 30]
        )
        for _ in range(2)
    )
    images, modes = data.split("train")
    assert images.shape == (500, 3, 28, 28)
    assert torch.equal(images, again.split("train")[0])
    assert [len(data.split(split)[0]) for split in ("val", "test")] == [0, 30]
    digits, labels = create("datamodule", "mnist_subset", image_size=28).split("train")
    label_of = dict(zip((d.numpy().tobytes() for d in digits), labels.tolist(), strict=True))
    for image, mode in zip(images, modes.tolist(), strict=True):
        assert [label_of[plane.numpy().tobytes()] for plane in image] == [
            mode // 100,
            mode // 10 % 10,
            mode % 10,
        ]
    assert len(modes.unique()) > 350  # of 1000, by 500 draws: 394 expected


def test_stacked_mnist_says_where_its_source_has_nothing_to_stack():
    asked = {"source": "mnist_subset", "train_val_test_split": [500, 20, 30]}
    with pytest.raises(ZooError, match="20 stacks of the val split, but mnist_subset has no"):
        create("datamodule", "stacked_mnist", **asked).split("val")


@pytest.mark.parametrize(("modes", "count", "spread"), [("ring", 8, 0.02), ("grid", 25, 0.01)])
def test_gaussians_lie_around_their_modes(modes, count, spread):
    split = [9000, 10, 20]
    data = create("datamodule", "gaussians", modes=modes, spread=spread, train_val_test_split=split)
    images, labels = data.split("train")
    assert images.shape == (9000, 2, 1, 1)
    assert [len(data.split(split)[0]) for split in ("val", "test")] == [10, 20]
    points = images.flatten(1)  # floats: 256 levels would make twins of most
    assert labels.bincount().shape == (count,)
    away = points - data.centers[labels]
    assert away.std().item() == pytest.approx(spread, rel=0.03)
    assert away.mean(dim=0).abs().max() < 0.001
