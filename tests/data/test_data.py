"""Data modules: pixels, the order of images, loaders, plugins, resuming under Lightning."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers_data import random_images, write_digits
from PIL import Image

import zoo.data.base
from zoo.core.errors import ZooError
from zoo.data.loader import OrderedLoader, TrainLoader
from zoo.data.pixels import fit, fit_digits, resize, to_float, to_uint8
from zoo.data.sampler import EndlessSampler
from zoo.registry import create

# Pixels


def test_float_and_uint8_are_inverse_on_all_values():
    stored = torch.arange(256, dtype=torch.uint8)
    images = to_float(stored)
    assert images.dtype == torch.float32
    assert (images.double() - (stored.double() / 127.5 - 1)).abs().max() < 2e-7
    assert images.min() == -1
    assert images.max() <= 1
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


def test_the_largest_centred_square_is_kept():
    image = torch.arange(5 * 7, dtype=torch.uint8).view(1, 1, 5, 7)
    assert torch.equal(fit(image, 5), image[..., 1:6])
    assert torch.equal(fit(image.mT, 5), image.mT[..., 1:6, :])


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


def test_a_device_gets_the_rows_of_the_split_alone_and_gives_the_same_batches():
    images, labels = random_images(10_000, 1, 2, 2), torch.arange(10_000)
    chosen = torch.randperm(10_000)[: zoo.data.base.ROWS + 5].sort().values
    rows = zoo.data.base.Rows(images, labels, chosen)
    near = zoo.data.base.copied(rows, torch.device("cpu"))
    assert near.chosen is None
    assert torch.equal(near.images, images[chosen])
    for here, there in zip(
        TrainLoader(*rows, flip=True), TrainLoader(*near, flip=True), strict=True
    ):
        assert torch.equal(here[0], there[0])
        assert torch.equal(here[1], there[1])


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
    for split, size in {"train": 1000, "val": 0, "test": 100}.items():
        assert len(data.split(split)[0]) == data.size(split) == size
    with pytest.raises(ZooError, match="There is no split 'all': choose one of train, val, test"):
        data.size("all")


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
