"""Sampling from a checkpoint alone, and the pictures and animations that come of it."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from helpers import make_checkpoint, small_checkpoint
from PIL import Image

import zoo
from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.inference.images import grid, to_uint8, write_animation
from zoo.inference.latents import class_weights_allowed, standing_statistics
from zoo.inference.scores import scores_of
from zoo.inference.truncation import check_truncation
from zoo.registry import REGISTRY
from zoo.tasks.sample import Sample, file_names

# Loaded generators


def test_sample_is_deterministic_whatever_the_batch_size(ckpt):
    model = zoo.load(ckpt)
    first = model.sample(9, label=5, seed=3)
    assert first.shape == (9, 1, 16, 16)
    assert first.dtype == torch.float32
    assert first.abs().max() <= 1
    torch.testing.assert_close(model.sample(9, label=5, seed=3, batch_size=2), first)
    assert not torch.equal(model.sample(9, label=5, seed=4), first)
    assert not torch.equal(model.sample(9, label=6, seed=3), first)
    before = torch.get_rng_state()
    model.sample(2)
    assert torch.equal(torch.get_rng_state(), before), "sampling moved the global random state"


def test_the_label_reaches_the_network(ckpt):
    model = zoo.load(ckpt)
    z, y = model.draw(3, label=5)
    assert y.tolist() == [5, 5, 5]
    direct = model.generator(z, torch.tensor([5, 5, 5])).detach()
    torch.testing.assert_close(model.sample(3, label="5"), direct)


def test_weights_ema_by_default_and_raw_on_request(ckpt, plain_ckpt):
    assert zoo.load(ckpt).weights == "ema"
    assert zoo.load(plain_ckpt).weights == "raw"
    state = torch.load(ckpt, weights_only=True)["state_dict"]
    raw = zoo.load(ckpt, weights="raw").generator.state_dict()
    ema = zoo.load(ckpt).generator.state_dict()
    for key, value in raw.items():
        assert torch.equal(value, state[f"generator.{key}"])
        assert torch.equal(ema[key], state[f"ema_generator.{key}"])
    with pytest.raises(ZooError, match="holds no ema weights, only raw"):
        zoo.load(plain_ckpt, weights="ema")


def test_scores_are_the_discriminators(ckpt):
    model = zoo.load(ckpt)
    images, labels = model.sample(5, label=2), torch.full((5,), 2)
    direct = model.discriminator()(images, labels).detach()
    torch.testing.assert_close(model.scores(images, labels, batch_size=2), direct)
    with pytest.raises(ZooError, match="labels"):
        model.scores(images)


def test_scores_of_less_than_a_pack_are_refused(ckpt):
    with pytest.raises(ZooError, match=r"needs 1 image or more.*, but got 0"):
        zoo.load(ckpt).scores(torch.zeros(0, 1, 16, 16), torch.zeros(0, dtype=torch.int64))
    network = zoo.create("discriminator", "mlp", image_size=8, channels=3, width=8)
    with pytest.raises(ZooError, match=r"needs 3 images or more.*, but got 2"):
        scores_of(network, network.outputs, torch.zeros(2, 1, 8, 8), None, 3, 64, False)


def test_scores_by_batch_statistics_are_those_of_training(ckpt):
    model = zoo.load(ckpt)
    images, labels = model.sample(8, label=2), torch.full((8,), 2)
    trained = model.discriminator().train()
    scores = model.scores(images, labels, batch_statistics=True)
    torch.testing.assert_close(scores, trained(images, labels).detach())
    assert not torch.allclose(scores, model.scores(images, labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0 must be 1 or more"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"truncation": 0.0}, "above 0"),
        ({"truncation": math.nan}, "above 0"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_options_out_of_range(ckpt, options, message):
    with pytest.raises(ZooError, match=message):
        zoo.load(ckpt).sample(**options)


def test_an_absent_device_is_one_sentence(ckpt):
    for device in ("cuda:99", "tpu"):
        with pytest.raises(ZooError, match=f"device={device}"):
            zoo.load(ckpt, device=device)


# Batch norm and classes


class _Uniform(Generator):
    """Latents from a prior of its own, one batch norm."""

    def __init__(self):
        super().__init__(8, 1, 4)
        self.layer = torch.nn.Linear(4, 64)
        self.norm = torch.nn.BatchNorm1d(64)

    def forward(self, z, y=None):
        return self.norm(self.layer(z)).view(-1, 1, 8, 8)

    def sample_latent(self, n, generator=None):
        return torch.rand(n, self.latent_dim, generator=generator)


def test_truncation_of_another_prior_is_refused():
    with pytest.raises(ZooError, match="prior of its own"):
        check_truncation(_Uniform(), 1.0)


def test_standing_statistics_are_the_mean_over_fresh_passes():
    network = _Uniform()
    network.norm.running_mean.fill_(100.0)
    seen = []
    network.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    standing_statistics(network, forwards=5, max_batch=16, seed=1)
    assert len(seen) == 5
    assert len({len(x) for x in seen}) > 1, "batch sizes were not random"
    mean = torch.stack([x.mean(0) for x in seen]).mean(0)
    var = torch.stack([x.var(0) for x in seen]).mean(0)
    torch.testing.assert_close(network.norm.running_mean, mean)
    torch.testing.assert_close(network.norm.running_var, var)
    assert not network.training
    assert not network.norm.training
    assert network.norm.momentum == 0.1


def test_standing_statistics_of_a_checkpoint_change_the_images(ckpt):
    model = zoo.load(ckpt)
    before = model.sample(4, label=1)
    model.use_standing_statistics(4)
    assert not torch.equal(model.sample(4, label=1), before)
    assert "standing (4 passes" in model.batch_norm


def test_class_weights_at_the_ends_are_the_classes():
    class Embedded(_Uniform):
        def __init__(self):
            super().__init__()
            self.num_classes = 3
            self.table = torch.nn.Embedding(3, 64)

        def forward(self, z, y=None):
            return (self.layer(z) + self.table(y)).view(-1, 1, 8, 8)

    network, z = Embedded().eval(), torch.randn(2, 4)
    one = network(z, torch.tensor([1, 2]))
    with class_weights_allowed(network):
        mixed = network(z, torch.eye(3)[[1, 2]])
        half = network(z, (torch.eye(3)[[1, 2]] + torch.eye(3)[[0, 0]]) / 2)
    torch.testing.assert_close(mixed, one)
    torch.testing.assert_close(half, (one + network(z, torch.tensor([0, 0]))) / 2)


@pytest.mark.parametrize("name", [p.name for p in REGISTRY.parts("generator")])
def test_every_generator_walks_between_classes(name, tmp_path):
    model = zoo.load(small_checkpoint(tmp_path / "a.ckpt", name))
    z, y = model.draw(2, label=2)
    with class_weights_allowed(model.generator):
        at_two = model.generate(z, torch.eye(3)[y])
        between = model.generate(z, torch.tensor([[0.5, 0.0, 0.5]] * 2))
    torch.testing.assert_close(at_two, model.generate(z, y))
    assert not torch.equal(at_two, between)


# Pictures


def test_uint8_clamps_and_rounds_and_never_stretches():
    values = torch.tensor([-3.0, -1.0, -0.999, 0.0, 0.5, 1.0, 7.0]).view(1, 1, 1, 7)
    assert to_uint8(values).flatten().tolist() == [0, 0, 0, 128, 191, 255, 255]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(every.float() / 127.5 - 1), every)


def test_grid_places_each_picture():
    images = torch.arange(6, dtype=torch.uint8).mul(40).view(6, 1, 1, 1).expand(6, 1, 8, 8)
    picture = grid(images, columns=3, scale=1, padding=2)
    assert picture.size == (2 + 3 * 10, 2 + 2 * 10)
    for i in range(6):
        assert picture.getpixel((2 + (i % 3) * 10 + 4, 2 + (i // 3) * 10 + 4)) == 40 * i
    wide = grid(images, columns=3, rows=["zero", "one"], heads=["a", "b", "c"], scale=1)
    assert wide.width > picture.width
    assert wide.height > picture.height
    two_channels = grid(images.expand(6, 2, 8, 8), columns=3, scale=1)
    assert two_channels.size == (2 + 3 * 18, 2 + 2 * 10)


def test_sample_task_writes_pictures_and_a_grid(ckpt, tmp_path):
    summary = Sample(ckpt=str(ckpt), n=4, label=5)(tmp_path)
    files = sorted(p.name for p in tmp_path.glob("0*.png"))
    assert files == [f"0000{i}_label5.png" for i in range(4)]
    expected = to_uint8(zoo.load(ckpt).sample(4, label=5))[2, 0]
    single = Image.open(tmp_path / "00002_label5.png")
    assert single.mode == "L"
    assert list(single.get_flattened_data()) == expected.flatten().tolist()
    assert summary["grid"] == tmp_path / "grid.png"
    assert summary["images"] == 4


def test_sample_task_with_all_labels_seeds_and_an_unconditional_rgb_model(
    ckpt, plain_ckpt, tmp_path
):
    Sample(ckpt=str(ckpt), n=2, label="all", singles=False)(tmp_path / "all")
    assert [p.name for p in (tmp_path / "all").iterdir()] == ["grid.png"]
    picture = Image.open(tmp_path / "all" / "grid.png")
    assert picture.height == 2 + 10 * 66, "one row per class"
    Sample(ckpt=str(ckpt), label="3,4", seeds="7-8")(tmp_path / "seeds")
    names = sorted(p.name for p in (tmp_path / "seeds").glob("seed*.png"))
    assert names == [f"seed0000{s}_label{c}.png" for s in (7, 8) for c in (3, 4)]
    Sample(ckpt=str(ckpt), label="4", seeds=8)(tmp_path / "one")
    name = "seed00008_label4.png"
    one, among = (Image.open(tmp_path / d / name).tobytes() for d in ("one", "seeds"))
    assert one == among, "a seed's picture depends on the other seeds"
    Sample(ckpt=str(plain_ckpt), n=2)(tmp_path / "rgb")
    assert Image.open(tmp_path / "rgb" / "00001.png").mode == "RGB"


def test_sample_task_takes_numbers_for_names_where_classes_have_such(tmp_path):
    """Hydra gives `label=5` as an int, also where a folder `5` made the class."""
    names = [str(i) for i in range(1, 10)]
    file = make_checkpoint(tmp_path / "a.ckpt", num_classes=9, class_names=names)
    for label, first, name in [(5, 5, "5"), ([5, 9], 5, "5, 9"), ("2-3", 2, "2, 3")]:
        summary = Sample(ckpt=str(file), n=1, label=label)(tmp_path / name)
        assert summary["classes"] == name
        assert (tmp_path / name / f"00000_label{first}.png").is_file()
    with pytest.raises(ZooError, match="label=0 is not a class"):
        Sample(ckpt=str(file), n=1, label=0)(tmp_path / "none")
    assert zoo.load(file).draw(1, label=5)[1].tolist() == [4]  # from Python as well


def test_files_carry_the_names_of_their_classes():
    names = ["cat", "a/b", "a b", "Zürich", "../x", ""]
    assert file_names(names) == ["cat", "a_b_1", "a_b_2", "Zürich", ".._x", "_"]
    assert file_names(["Cat", "cat", "dog"]) == ["Cat_0", "cat_1", "dog"]
    assert len(set(file_names(["a"] * 100_000))) == 100_000


@pytest.mark.parametrize("how", ["linear", "spherical", "classes"])
def test_walks(ckpt, tmp_path, how):
    task = Sample(
        ckpt=str(ckpt), n=1, walk=how, frames=10, walk_points=2, walk_rows=3, singles=False
    )  # points that a walk between classes has no use for are refused by `create`, see below
    file = task(tmp_path)["walk"]
    animation = Image.open(file)
    assert file.name == f"walk_{how}.gif"
    assert animation.n_frames == 10
    assert animation.info["loop"] == 0


def test_points_of_a_walk_between_classes_are_refused():
    with pytest.raises(ZooError, match=r"walk_points=3 has no effect with walk=classes"):
        zoo.create("task", "sample", ckpt="mnist", walk="classes", walk_points=3)


@pytest.mark.parametrize(
    ("label", "n", "columns", "rows"),
    [("all", 1, 1, 256), ("all", 2, 2, 300), ("0,0,7", 4, None, 0), ("3", 5, None, 0)],
)
def test_a_row_of_the_grid_is_of_one_class(tmp_path, monkeypatch, label, n, columns, rows):
    """Also of more classes than a grid has rows, and of one that is named twice."""
    laid: list[tuple[int | None, list[str]]] = []

    def lay(images, columns=None, rows=(), **more):
        laid.append((columns, list(rows)))
        return grid(images[:1])

    monkeypatch.setattr("zoo.inference.images.grid", lay)
    file = make_checkpoint(tmp_path / "many.ckpt", "mlp", "mlp", image_size=8, num_classes=300,
                           class_names=[f"c{i}" for i in range(300)])  # fmt: skip
    Sample(ckpt=str(file), n=n, label=label, singles=False, device="cpu")(tmp_path / "out")
    assert laid == [(columns, [f"c{i}" for i in range(rows)])]


def test_every_animation_format_and_its_errors(tmp_path):
    frames = [Image.new("L", (9, 9), 80 * i) for i in range(3)]
    for ending in ("gif", "webp", "png"):
        assert Image.open(write_animation(frames, tmp_path / f"a.{ending}")).n_frames == 3
    with pytest.raises(ZooError, match="gif, webp, png or mp4"):
        write_animation(frames, tmp_path / "a.avi")
    with pytest.raises(ZooError, match="fps above 0"):
        write_animation(frames, tmp_path / "a.gif", fps=0)
    if shutil.which("ffmpeg") is None:
        with pytest.raises(ZooError, match="ffmpeg"):
            write_animation(frames, tmp_path / "a.mp4")
    else:
        assert write_animation(frames, tmp_path / "a.mp4").stat().st_size > 100


def test_walk_errors(ckpt, plain_ckpt, tmp_path):
    for options, message in [
        ({"ckpt": str(plain_ckpt), "walk": "classes"}, "conditional"),
        ({"ckpt": str(ckpt), "walk": "classes", "label": 3}, "two or more classes"),
        ({"ckpt": str(ckpt), "walk": "linear", "walk_rows": 0}, "walk_rows"),
        ({}, "needs ckpt="),
    ]:
        with pytest.raises(ZooError, match=message):
            Sample(**{"n": 1, **options})(tmp_path)


def test_an_unwritable_folder_is_one_sentence(ckpt, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ZooError, match="cannot write"):
        Sample(ckpt=str(ckpt), n=1)(tmp_path / "file")
