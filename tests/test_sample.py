"""Loading by the file alone, sampling, and the pictures and animations that come of it."""

from __future__ import annotations

import copy
import math
import os
import shutil

import pytest
import torch
from helpers import make_checkpoint
from PIL import Image

import zoo
from zoo.base import Generator
from zoo.checkpoint import locate
from zoo.errors import ZooError
from zoo.images import grid, to_uint8, write_animation
from zoo.registry import REGISTRY
from zoo.sampling import (
    class_index,
    class_weights_allowed,
    draw_labels,
    interpolate,
    parse_integers,
    parse_labels,
    standing_statistics,
    truncate,
    walk,
)
from zoo.tasks.sample import Sample


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def plain_ckpt(tmp_path_factory):
    return make_checkpoint(
        tmp_path_factory.mktemp("plain") / "plain.ckpt", num_classes=0, channels=3, ema=False
    )


# Latents


@pytest.mark.parametrize("t", [0.1, 0.5, 1.0, 2.0, 3.5])
def test_truncation_is_the_quantile_of_the_truncated_normal(t):
    z = torch.linspace(-4.0, 4.0, 401)
    exact = math.sqrt(2) * torch.erfinv(
        torch.erf(z.double() / math.sqrt(2)) * math.erf(t / math.sqrt(2))
    )
    torch.testing.assert_close(truncate(z, t).double(), exact, atol=2e-5, rtol=2e-5)
    assert truncate(z, t).abs().max() <= t + 1e-6


def test_truncation_has_the_distribution_of_the_papers_redrawing():
    t, n = 0.7, 40_000
    ours = truncate(torch.randn(n, generator=torch.Generator().manual_seed(1)), t).sort().values
    drawn = torch.randn(4 * n, generator=torch.Generator().manual_seed(2))
    redrawn = drawn[drawn.abs() <= t][:n].sort().values
    assert len(redrawn) == n
    # Kolmogorov-Smirnov on equal counts: the distance of sorted samples in rank.
    gap = (torch.searchsorted(redrawn, ours) - torch.arange(n)).abs().max() / n
    assert gap < 1.63 * math.sqrt(2 / n)  # 1 % level


def test_no_truncation_is_exactly_none():
    z = torch.randn(1000)
    assert torch.equal(truncate(z, math.inf), z)
    assert torch.equal(truncate(z, 5.0), z)


def test_interpolation_ends_at_its_ends_and_the_spherical_one_keeps_the_norm():
    a, b = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    b = b * a.norm() / b.norm()
    t = torch.linspace(0, 1, 11)
    for how in ("linear", "spherical"):
        path = interpolate(a.expand(11, -1), b.expand(11, -1), t, how)
        torch.testing.assert_close(path[0], a)
        torch.testing.assert_close(path[-1], b)
        if how == "spherical":
            torch.testing.assert_close(path.norm(dim=-1), a.norm().expand(11))
        else:
            torch.testing.assert_close(path[5], (a + b) / 2)
    torch.testing.assert_close(interpolate(a, 2 * a, 0.5), 1.5 * a)  # parallel: no NaN


def test_walk_is_closed_and_passes_through_its_points():
    points = torch.randn(3, 8)
    path = walk(points, 12)
    assert path.shape == (12, 8)
    torch.testing.assert_close(path[::4], points)
    with pytest.raises(ZooError, match="frames=1"):
        walk(points, 1)


# Labels


def test_labels_by_index_name_list_range_and_all():
    names = ["T-shirt", "Trouser", "Bag"]
    assert parse_labels(2, 3, names) == [2]
    assert parse_labels("bag", 3, names) == [2]
    assert parse_labels("1", 3, names) == [1]
    assert parse_labels("[0, 2]", 3, names) == [0, 2]
    assert parse_labels("0-2", 3, names) == parse_labels("all", 3, names) == [0, 1, 2]
    assert parse_labels(["Bag", 0], 3, names) == [2, 0]
    assert parse_labels("T-shirt+Bag", 3, names) == [0, 2]
    assert draw_labels([0, 2], 2, 3, names).tolist() == [0, 0, 2, 2]
    assert draw_labels(None, 5, 0) is None
    drawn = draw_labels(None, 3000, 3, names, seed=4)
    assert (drawn.bincount() > 900).all()


def test_a_range_that_goes_down_is_told():
    with pytest.raises(ZooError, match="label=5-3: the range 5-3 must go up"):
        parse_labels("5-3", 10)


def test_a_name_made_of_digits_wins_over_an_index():
    assert class_index("7", 3, ["5", "7", "2"]) == 1
    assert class_index(2, 3, ["5", "7", "2"]) == 2


@pytest.mark.parametrize("label", [10, -1, "ten", "9-12", [3, 11], True, "", []])
def test_a_label_out_of_range_names_the_choices(ckpt, label):
    with pytest.raises(ZooError, match=r"labels are 0 to 9|names no class"):
        zoo.load(ckpt).sample(1, label=label)


def test_a_number_out_of_range_is_no_slip_of_the_pen():
    with pytest.raises(ZooError, match=r"label=11 is no class .* 0 to 2 \(0, 1, 2\)\.$"):
        class_index(11, 3, ["0", "1", "2"])
    with pytest.raises(ZooError, match=r"Did you mean 'Trouser'\?$"):
        class_index("Trousers", 3, ["Shirt", "Trouser", "Bag"])


def test_unreadable_checkpoints_are_told_from_damaged_ones(ckpt, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ZooError, match=r"cannot be read: permission denied\.$"):
        zoo.load(ckpt)


def test_a_label_for_an_unconditional_model_is_refused(plain_ckpt):
    with pytest.raises(ZooError, match="unconditional"):
        zoo.load(plain_ckpt).sample(1, label=5)


def test_lists_of_seeds():
    assert parse_integers("0-3, 7", "seeds") == [0, 1, 2, 3, 7]
    assert parse_integers("[5,6]", "seeds") == [5, 6]
    for wrong in ("a", "3-1", "", "0-99999999"):
        with pytest.raises(ZooError, match="seeds"):
            parse_integers(wrong, "seeds")


# Loading


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
    with pytest.raises(ZooError, match="no ema weights: it has raw"):
        zoo.load(plain_ckpt, weights="ema")


def test_a_run_folder_and_its_checkpoints_folder_load(ckpt):
    assert locate(ckpt.parent.parent) == ckpt
    assert locate(str(ckpt.parent)) == ckpt


def test_what_the_file_says(ckpt):
    model = zoo.load(ckpt)
    assert model.data["name"] == "mnist_subset"
    assert model.images_seen == 1280
    assert model.class_names == [str(i) for i in range(10)]
    assert "dcgan" in repr(model)
    assert "10 classes" in repr(model)


def test_the_data_set_is_rebuilt_from_the_file(tmp_path):
    images, labels = zoo.load(make_checkpoint(tmp_path / "a.ckpt")).dataset().split("train")
    assert images.shape[1:] == (1, 16, 16)
    assert len(images) == len(labels) > 1000

    def elsewhere(content):
        content["zoo"]["data"]["name"] = "my_pictures"

    edited = _edited(tmp_path / "a.ckpt", tmp_path / "b.ckpt", elsewhere)
    with pytest.raises(ZooError, match="my_pictures"):
        zoo.load(edited).dataset()


def test_scores_are_the_discriminators(ckpt):
    model = zoo.load(ckpt)
    images, labels = model.sample(5, label=2), torch.full((5,), 2)
    direct = model.discriminator()(images, labels).detach()
    torch.testing.assert_close(model.scores(images, labels, batch_size=2), direct)
    with pytest.raises(ZooError, match="labels"):
        model.scores(images)


def test_scores_by_batch_statistics_are_those_of_training(ckpt):
    model = zoo.load(ckpt)
    images, labels = model.sample(8, label=2), torch.full((8,), 2)
    trained = model.discriminator().train()
    scores = model.scores(images, labels, batch_statistics=True)
    torch.testing.assert_close(scores, trained(images, labels).detach())
    assert not torch.allclose(scores, model.scores(images, labels))


def test_missing_file_names_the_nearest(ckpt):
    with pytest.raises(ZooError, match=r"no checkpoint at .*Nearest: .*last\.ckpt"):
        zoo.load(ckpt.parent / "lst.ckpt")


def test_empty_folder(tmp_path):
    with pytest.raises(ZooError, match=r"holds no checkpoint.*checkpoints/last\.ckpt"):
        zoo.load(tmp_path)


def test_damaged_and_foreign_files(ckpt, tmp_path):
    half = tmp_path / "half.ckpt"
    half.write_bytes(ckpt.read_bytes()[: ckpt.stat().st_size // 2])
    text = tmp_path / "text.ckpt"
    text.write_text("not a checkpoint")
    empty = tmp_path / "empty.ckpt"
    empty.touch()
    for file in (half, text, empty):
        with pytest.raises(ZooError, match=r"damaged or no checkpoint \([\d,]+ bytes\)\.$"):
            zoo.load(file)
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}, "epoch": 3}, foreign)
    with pytest.raises(ZooError, match=r"no checkpoint of this zoo \(it has: state_dict, epoch"):
        zoo.load(foreign)
    tensor = tmp_path / "tensor.ckpt"
    torch.save(torch.zeros(3), tensor)
    with pytest.raises(ZooError, match="no checkpoint of this zoo"):
        zoo.load(tensor)
    weights = tmp_path / "broken.safetensors"
    weights.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{notjson")
    with pytest.raises(ZooError, match="safetensors"):
        zoo.load(weights)


class _Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_hostile_pickle_is_not_executed(tmp_path):
    mark = tmp_path / "executed"
    torch.save({"zoo": _Hostile(f"touch {mark}"), "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(ZooError, match="damaged or no checkpoint"):
        zoo.load(tmp_path / "evil.ckpt")
    assert not mark.exists()


def _edited(ckpt, path, edit):
    content = torch.load(ckpt, weights_only=True)
    content = copy.deepcopy(content)
    edit(content)
    torch.save(content, path)
    return path


def test_descriptions_that_cannot_be_followed(ckpt, tmp_path):
    def plugin(content):
        content["zoo"]["generator"]["name"] = "my_gan"
        content["zoo"]["sources"]["generator"] = "plugins/my_gan.py"

    def newer(content):
        content["zoo"]["format"] = 99

    def nothing(content):
        content["zoo"] = "?"

    def other_size(content):
        content["zoo"]["generator"]["options"]["image_size"] = 32

    def no_data(content):
        del content["zoo"]["data"]

    def huge(content):  # a trillion weights
        content["zoo"]["generator"]["options"]["base_channels"] = 10**6

    def miscounted(content):
        content["zoo"]["images_seen"] = "x"

    def unknown_weights(content):
        content["zoo"]["weights"] = "foo"

    for edit, message in [
        (plugin, r"needs the generator 'my_gan', which came from the plugin plugins/my_gan\.py"),
        (newer, "format 99"),
        (nothing, "cannot read"),
        (other_size, "does not fit its own description"),
        (no_data, "without its generator or its data"),
        (huge, "does not fit its own description"),
        (miscounted, "images_seen=x in its description"),
        (unknown_weights, "weights=foo in its description"),
    ]:
        with pytest.raises(ZooError, match=message):
            zoo.load(_edited(ckpt, tmp_path / "edited.ckpt", edit))


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
        zoo.sampling.draw_latents(_Uniform(), 2, truncation=1.0)


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
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt", name, num_classes=3))
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
    assert summary["pictures"] == 4


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


@pytest.mark.parametrize("how", ["linear", "spherical", "classes"])
def test_walks(ckpt, tmp_path, how):
    task = Sample(
        ckpt=str(ckpt), n=1, walk=how, frames=10, walk_points=2, walk_rows=3, singles=False
    )
    file = task(tmp_path)["walk"]
    animation = Image.open(file)
    assert file.name == f"walk_{how}.gif"
    assert animation.n_frames == 10
    assert animation.info["loop"] == 0


def test_every_animation_format_and_its_errors(tmp_path):
    frames = [Image.new("L", (9, 9), 80 * i) for i in range(3)]
    for ending in ("gif", "webp", "png"):
        assert Image.open(write_animation(frames, tmp_path / f"a.{ending}")).n_frames == 3
    with pytest.raises(ZooError, match="gif, webp, png, mp4"):
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
