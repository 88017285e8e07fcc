"""What is refused before training: batches that nothing holds, labels that do not fit images."""

from __future__ import annotations

import pytest
import torch
from helpers_data import random_images

from zoo.core import memory
from zoo.core.errors import ZooError
from zoo.data.base import DataModule
from zoo.data.checks import check_batch, check_batch_size
from zoo.data.loader import TrainLoader
from zoo.data.sampler import BalancedSampler
from zoo.registry import create

FLOATS = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.tensor([0, 1, 2, 2])


def check(images=FLOATS, labels=LABELS, num_classes=3):
    return check_batch(images, labels, channels=3, size=(8, 8), num_classes=num_classes)


def test_right_batches_pass():
    assert check() is None
    assert check(random_images(4, 3, 8, 8), LABELS.int()) is None
    assert check(FLOATS.bfloat16(), None, 0) is None
    assert "2 * x - 1" in check(FLOATS / 2 + 0.5)


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        ((FLOATS + 1) * 127.5, LABELS, r"must lie in \[-1, 1\]: scale them \(x / 127.5 - 1"),
        (FLOATS * 1.5, LABELS, r"float images from -1\.\d+ to 1\.\d+"),
        (FLOATS / 0, LABELS, "must lie in"),
        (FLOATS * torch.nan, LABELS, "from nan to nan"),
        (random_images(4, 3, 8, 8).long(), LABELS, "images of torch.int64: pass uint8"),
        (FLOATS[:, :1], LABELS, r"\(4, 1, 8, 8\), but the networks take .* shape \(N, 3, 8, 8"),
        (FLOATS.permute(0, 2, 3, 1), LABELS, "Channels come before height and width"),
        (FLOATS[0], LABELS, "has the shape"),
        ([FLOATS], LABELS, "holds a list"),
        (FLOATS, None, "has no labels, but the networks need them"),
        (FLOATS, LABELS + 1, "labels from 1 to 3: labels are integers .* from 0 to 2"),
        (FLOATS, LABELS - 1, "labels from -1 to 1"),
        (FLOATS, LABELS.float(), "labels of torch.float32"),
        (FLOATS, LABELS[:2], r"shape \(2,\) for 4 images"),
        (FLOATS, torch.eye(4, dtype=torch.int64), r"shape \(4, 4\)"),
    ],
)
def test_wrong_batches_are_told_in_one_sentence(images, labels, reason):
    with pytest.raises(ZooError, match=reason):
        check(images, labels)


@pytest.mark.parametrize("name", ["mnist_subset", "gaussians"])
def test_a_batch_that_no_machine_holds_is_refused_at_once(name):
    with pytest.raises(
        ZooError, match=r"batch of 1,000,000,000,000 images .* set datamodule\.batch_size=\d+, or"
    ) as told:
        create("datamodule", name, batch_size=10**12)
    create(
        "datamodule", name, batch_size=int(str(told.value).split("batch_size=")[1].split(",")[0])
    )
    check_batch_size(name, 512, 3 * 64 * 64)
    data = create("datamodule", "mnist_subset")
    with pytest.raises(ZooError, match="smaller images, or fewer D updates per step"):
        data.images_per_step = 64 * 10**10


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose system says so many kB, and whose control groups have such limits."""

    def make(kilobytes, groups="", **limits):
        lines = [f"MemTotal: 9 kB\nMemAvailable: {kilobytes} kB\nSwapFree: 24 kB\nX: 0\n"]
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "meminfo").write_text("".join(lines))
        (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
        for place, limit in limits.items():
            file = tmp_path / "groups" / place.replace("__", "/").replace("_max", ".max")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{limit}\n")
        monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
        monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
        return memory.usable_memory()

    return make


def test_memory_that_can_be_had_is_what_is_free_and_swap(machine):
    assert machine(1000) == 1024 * 1024


@pytest.mark.parametrize(
    ("groups", "limits", "right"),
    [
        ("0::/a/b\n", {"a__b__memory_max": "max", "a__memory_max": 5000}, 5000),
        ("0::/\n", {"memory_max": 7000}, 7000),
        ("4:memory:/j\n3:cpu:/\n", {"memory__j__memory.limit_in_bytes": 6000}, 6000),
        ("4:memory:/j\n", {"memory__memory.limit_in_bytes": 2**63 - 4096}, 1024 * 1024),
        ("nonsense\n0::/../x\n", {}, 1024 * 1024),
    ],
)
def test_memory_that_can_be_had_in_a_container(machine, groups, limits, right):
    assert machine(1000, groups, **limits) == right


def test_a_batch_beyond_what_is_free_names_the_next_smaller_one(machine):
    """The kernel ends a process that takes more, and nothing can be told any more."""
    machine(1000)  # 1 MB with swap: 61 images of 1,024 values
    check_batch_size("x", 60, 1024)
    with pytest.raises(ZooError, match=r"set datamodule\.batch_size=50, or less"):
        check_batch_size("x", 400, 1024)
    with pytest.raises(ZooError, match="choose smaller images"):
        check_batch_size("x", 8, 10**6)


# Class-balanced sampling


def test_balanced_classes_are_as_likely_and_their_images_too():
    labels = torch.tensor([0] * 970 + [1] * 20 + [3] * 10)  # class 2 has no image
    rows, _ = BalancedSampler(labels, seed=1).take(0, 30_000)
    drawn = labels[rows].bincount(minlength=4)
    assert drawn[2] == 0
    assert (drawn[[0, 1, 3]] - 10_000).abs().max() < 5 * (30_000 * 2 / 9) ** 0.5
    of_last = rows[rows >= 990].bincount(minlength=1000)[990:]
    assert (of_last - 1000).abs().max() < 5 * 1000**0.5


def test_balanced_order_is_a_pure_function_of_seed_and_position():
    labels = torch.arange(50) % 3
    stream, flips = BalancedSampler(labels, seed=3).take(0, 200)
    for start, count in [(0, 1), (45, 10), (99, 101)]:
        rows, coins = BalancedSampler(labels, seed=3).take(start, count)
        assert torch.equal(rows, stream[start : start + count])
        assert torch.equal(coins, flips[start : start + count])
    assert not torch.equal(BalancedSampler(labels, seed=4).take(0, 200)[0], stream)


def test_balanced_loaders_of_a_split_and_of_several_processes():
    images, labels = random_images(60, 1, 2, 2), torch.arange(60) % 4
    chosen = torch.arange(60)[labels < 3][:40]
    options = {"batch_size": 4, "seed": 2, "class_balanced": True}
    whole = TrainLoader(images, labels, chosen, **options)
    halves = [TrainLoader(images, labels, chosen, **options, rank=r, world_size=2) for r in (0, 1)]
    for together, *parts in zip(whole, *halves, strict=True):
        assert torch.equal(together[1], torch.cat([part[1] for part in parts]))
        assert together[1].max() < 3


def test_the_option_of_a_data_set_says_what_it_does():
    data = create("datamodule", "mnist_subset", class_balanced=True)
    assert isinstance(data.train_dataloader().sampler, BalancedSampler)
    assert "task=evaluate still generates classes in the proportions of the data" in data.notes[0]
    plain = create("datamodule", "mnist_subset").train_dataloader()
    assert not isinstance(plain.sampler, BalancedSampler)


class Own(DataModule):
    """What a plugin may get wrong."""

    own_parts = ("train",)

    def __init__(self, labels: torch.Tensor, split: list[int] | None = None) -> None:
        super().__init__("own", 4, 1, ["a", "b"], train_val_test_split=split)
        self.labels = labels

    def load(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.arange(96, dtype=torch.uint8).view(6, 1, 4, 4), self.labels


@pytest.mark.parametrize(
    ("labels", "split", "reason"),
    [
        ([0, 1, 0, 1, 0, 1, 0], None, r"has 6 images and labels of the shape \(7,\)"),
        ([[0], [1], [0], [1], [0], [1]], None, r"labels of the shape \(6, 1\)"),
        ([1, 2, 1, 2, 1, 2], None, "has labels from 1 to 2, but its 2 class_names are numbered"),
        ([0, 1, 0, 1, 0, -1], None, "has labels from -1 to 1"),
        ([0, 1, 0, 1, 0, 1], [4, 1, 1], "there are 6 and 0"),
    ],
)
def test_labels_that_do_not_fit_their_images_are_refused(
    labels: list[int], split: list[int] | None, reason: str
) -> None:
    """One label too many would give images those of others; a class too many trains another."""
    with pytest.raises(ZooError, match=reason):
        Own(torch.tensor(labels), split).setup()


def test_a_set_without_a_part_for_tests_can_be_split() -> None:
    data = Own(torch.tensor([0, 1, 0, 1, 0, 1]), [4, 2, 0])
    assert [data.size(split) for split in ("train", "val", "test")] == [4, 2, 0]
    assert torch.equal(data.split("train")[0][:, 0, 0, 0] // 16 % 2, data.split("train")[1])
