"""Metrics of the field against given vectors, closed forms and independent implementations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor
from torchmetrics.functional.image.lpips import _LPIPS

import zoo
from zoo.core.errors import ZooError
from zoo.layers.lpips import Lpips, load_lpips
from zoo.metrics.choice import check_metrics
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.distances import frechet_distance
from zoo.metrics.evaluate import evaluate, reference_of
from zoo.metrics.features.base import Features, create_features, extract
from zoo.metrics.protocol import heading
from zoo.metrics.scores.auth_pct import authentic_percentage
from zoo.metrics.scores.c_t import principal, rank_z
from zoo.metrics.scores.cmmd import unit_mmd
from zoo.metrics.scores.diversity import random_pairs
from zoo.metrics.scores.fid_infinity import extrapolated
from zoo.metrics.scores.realism import realism
from zoo.metrics.scores.vendi import vendi_score

REAL = torch.tensor([[0.0, 0], [1, 0], [0, 2], [3, 3]], dtype=torch.float64)
FAKE = torch.tensor([[0.5, 0], [0.1, 0.2], [3, 2], [6, 6]], dtype=torch.float64)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-cache"))


class Flat(Features):
    """The pixels of grey images, in [0, 1]."""

    white: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.name, self.resizer = "flat", "none"
        self.register_buffer("white", torch.tensor(255.0))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return images.flatten(1) / self.white, None


def noise(n: int, seed: int, side: int = 4, channels: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    shape = (n, channels, side, side)
    return torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)


def compared(images: Tensor, real: Tensor, tested: Tensor | None = None) -> Comparison:
    network = Flat()
    reference = Reference("noise", "train", real, test_images=tested)
    return Comparison(images, None, extract(network, images)[0], None, reference, network)


# FID infinity


def test_a_line_in_one_over_n_ends_where_it_says() -> None:
    sizes = [100, 200, 500, 3000]
    assert extrapolated(sizes, [10 + 3000 / n for n in sizes]) == pytest.approx(10, abs=1e-9)


def test_fid_infinity_takes_the_bias_of_few_images_away() -> None:
    """Of one distribution the distance is 0; of few images it is above, by a share of 1/N."""
    data = compared(noise(3000, 0), noise(20_000, 1))
    made = zoo.create("metric", "fid_infinity", smallest=500)
    figures = made(data)
    random = torch.Generator().manual_seed(data.seed)
    sizes = [round(500 + 2500 * i / 14) for i in range(15)]
    values = []
    for size in sizes:
        x = data.vectors[torch.randperm(3000, generator=random)[:size]].double().numpy()
        y = data.reference_vectors.double().numpy()
        root = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
        gap = np.square(x.mean(0) - y.mean(0)).sum()
        values.append(gap + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root))
    design = np.stack([np.ones(15), 1 / np.array(sizes)], axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(design, np.array(values), rcond=None)
    assert figures["fid_infinity"] == pytest.approx(intercept, rel=1e-4)
    assert slope > 0
    assert abs(intercept) < values[-1] < values[0]
    assert made.recorded() == "FID infinity of 15 sizes from 500 or a tenth"


# Copies


def test_authentic_percentage_on_the_given_vectors() -> None:
    assert authentic_percentage(FAKE, REAL) == 25
    assert authentic_percentage(REAL, REAL) == 0
    half = torch.cat([REAL, REAL + 100])
    assert authentic_percentage(half, REAL) == 50


def test_rank_z_on_the_given_vectors() -> None:
    test = torch.tensor([[0.0, 0.5], [1, 1], [3, 1]], dtype=torch.float64)
    first, second = (torch.cdist(side, REAL).min(dim=1).values for side in (FAKE, test))
    assert rank_z(first, second, continuity=True) == pytest.approx(-0.176777, abs=1e-6)
    assert rank_z(first, second) == pytest.approx(-1 / math.sqrt(8), abs=1e-12)
    long = torch.arange(60, dtype=torch.float64).square() % 37, torch.arange(50.0).double() % 29
    pairs = mannwhitneyu(*(side.numpy() for side in long)).statistic
    expected = (pairs - 1500) / math.sqrt(60 * 50 * 111 / 12)
    assert rank_z(*long) == pytest.approx(expected)


def test_c_t_tells_copies_from_new_images() -> None:
    train, tested, new = noise(400, 0), noise(300, 1), noise(300, 2)
    made = zoo.create("metric", "c_t")
    assert abs(made(compared(new, train, tested))["c_t"]) < 3
    copied = made(compared(train[:300], train, tested))
    assert copied["c_t"] < -10
    one = zoo.create("metric", "c_t", cells=1, dimensions=16)
    data = compared(new, train, tested)
    # the principal components are a rotation, which leaves distances as they are
    distances = [
        torch.cdist(side.double(), data.train_vectors.double()).min(dim=1).values
        for side in (data.vectors, data.test_vectors)
    ]
    assert one(data)["c_t"] == pytest.approx(rank_z(*distances), rel=1e-6)
    few = compared(new[:10], train, tested)
    with pytest.raises(ZooError, match="20 or more generated and test images"):
        made(few)
    reference = Reference("noise", "train", train)
    with pytest.raises(ZooError, match="noise/train 1x4x4 has no test split"):
        check_metrics(["c_t"], Flat(), reference, False)


def test_principal_components_are_those_of_an_svd() -> None:
    vectors = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7)
    (found,) = principal(2, vectors)
    centred = (vectors - vectors.mean(dim=0)).double()
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    torch.testing.assert_close(found.abs(), (u * s)[:, :2].abs(), rtol=1e-5, atol=1e-5)


# Diversity


def test_vendi_on_the_given_vectors() -> None:
    assert vendi_score(FAKE) == pytest.approx(1.514820, abs=1e-6)
    assert vendi_score(FAKE, q=2) == pytest.approx(1.331626, abs=1e-6)
    assert vendi_score(torch.eye(4)) == pytest.approx(4)
    assert vendi_score(torch.eye(4), q=math.inf) == pytest.approx(4)
    assert vendi_score(torch.ones(5, 3)) == pytest.approx(1)
    wide = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)).double()
    rows = wide / wide.norm(dim=1, keepdim=True)
    values = np.linalg.eigvalsh((rows @ rows.T).numpy() / 5)
    assert vendi_score(wide) == pytest.approx(math.exp(-(values * np.log(values)).sum()))


def test_pairs_are_of_two_images_of_one_class() -> None:
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 0, 2, 3])
    first, second = random_pairs(9, labels, 2000, seed=0)
    assert not (first == second).any()
    assert torch.equal(labels[first], labels[second])
    assert set(first.tolist()) == set(second.tolist()) == set(range(8))  # 8 is alone in its class
    first, second = random_pairs(3, None, 3000, seed=1)
    counts = torch.bincount(first * 3 + second, minlength=9).view(3, 3)
    assert counts.diag().tolist() == [0, 0, 0]
    assert counts.sum(1).min() > 850
    with pytest.raises(ZooError, match="2 or more images, of one class"):
        random_pairs(2, torch.tensor([0, 1]), 5, seed=0)


def test_diversity_is_nothing_for_one_image() -> None:
    network = create_features("mnist")
    real = noise(20, 1, side=32)
    reference = Reference("noise", "train", real)
    figures = []
    for images in (noise(20, 0, side=32), noise(1, 0, side=32).expand(20, -1, -1, -1)):
        vectors, logits = extract(network, images)
        data = Comparison(images, None, vectors, logits, reference, network)
        figures.append(zoo.create("metric", "lite0_diversity", pairs=20)(data)["lite0_diversity"])
        assert data.notes[0].startswith(
            "lite0_diversity is measured on pairs of images; for such pairs of real images it"
        )
    assert figures[0] > 0.1
    assert figures[1] == pytest.approx(0, abs=1e-6)


def test_pairs_of_a_class_are_not_said_to_be_held_against_pairs_of_a_class() -> None:
    """Where the real images have no labels, theirs are pairs of any two."""
    data = compared(noise(6, 0, side=32), noise(6, 1, side=32))
    data.labels = torch.arange(6) % 2
    zoo.create("metric", "lite0_diversity", pairs=4)(data)
    assert (
        "is measured on pairs of images of one class; for any pairs of real images it is"
        in data.notes[0]
    )


def test_a_class_without_real_images_is_not_mended_by_more_generated_ones() -> None:
    data = compared(noise(6, 0), noise(6, 1))
    data.labels, data.reference.labels = torch.arange(6) % 3, torch.arange(6) % 2
    data.reference.num_classes = 3
    with pytest.raises(ZooError, match=r"class 2 has 2 generated and 0 .* Compare with a split"):
        zoo.create("metric", "per_class_fid")(data)


def test_lpips_is_that_of_torchmetrics() -> None:
    """The same random AlexNet in both; the weights of the channels are the published ones."""
    ours = Lpips()
    theirs = _LPIPS(net="alex", pnet_rand=True)
    slices = dict(theirs.net.named_parameters())
    for name, value in ours.layers.named_parameters():
        index = name.split(".")[0]
        (same,) = [k for k in slices if k.split(".", 1)[1] == name and f".{index}." in k]
        slices[same].data.copy_(value)
    for i in range(5):
        weight = getattr(theirs, f"lin{i}").model[-1].weight
        getattr(ours, f"channels_{i}").copy_(weight.detach().flatten())
    x, y = (noise(3, seed, side=64, channels=3) / 127.5 - 1 for seed in (0, 1))
    with torch.no_grad():
        torch.testing.assert_close(ours(x, y), theirs(x, y).flatten(), rtol=1e-4, atol=1e-6)
        assert ours(x, x).abs().max() < 1e-6


def test_weights_of_lpips_are_the_published_ones(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match=r"metric lpips_diversity: there is no weight file a\.p"):
        load_lpips("metric lpips_diversity", "a.pth")
    other = tmp_path / "alexnet-owt-7be5be79.pth"
    torch.save({}, other)
    with pytest.raises(ZooError, match=r"is not alexnet.*its SHA-256 begins with 7be5be79"):
        load_lpips("metric lpips_diversity", str(other))


# Distances


def test_unit_mmd_on_the_given_vectors() -> None:
    assert unit_mmd(FAKE[1:], REAL[1:]) == pytest.approx(0.316023, abs=1e-6)
    assert unit_mmd(REAL[1:], 5 * REAL[1:]) == pytest.approx(0, abs=1e-9)


def test_cmmd_is_called_so_on_clip_alone() -> None:
    images = noise(6, 0, side=8)
    clip = create_features("clip", model="test_vit", pretrained=False)
    assert clip.classes == 0
    reference = Reference("noise", "train", noise(6, 1, side=8))
    vectors, _ = extract(clip, images)
    made = zoo.create("metric", "cmmd")
    (name,) = made(Comparison(images, None, vectors, None, reference, clip))
    assert name == "cmmd"
    (name,) = made(compared(noise(6, 0), noise(6, 1)))
    assert name == "mmd_rbf"


def test_frechet_distance_on_features_of_its_own() -> None:
    images, real = noise(12, 0, side=32), noise(14, 1, side=32)
    network = create_features("efficientnet_lite0")
    expected = frechet_distance(extract(network, images)[0], extract(network, real)[0])
    result = evaluate(
        lambda n, labels: images[:n] / 127.5 - 1,
        Reference("noise", "train", real),
        conditional=False,
        metrics=["fd_lite0", "fid"],
        features="mnist",
        n=12,
        progress=False,
    )
    assert result.figures["fd_lite0"] == pytest.approx(expected, rel=1e-6)
    assert result.figures["fid"] != pytest.approx(expected, rel=1e-2)
    assert network.weights_hash in result.protocol.settings["fd_lite0"]


def test_features_at_another_resolution_are_others() -> None:
    """The same weights at 64 pixels are no stand-in for those at 224 that the protocol names."""
    images, real = noise(6, 0, side=32), noise(7, 1, side=32)
    network = create_features("efficientnet_lite0", resolution=64)
    data = Comparison(
        images, None, *extract(network, images), Reference("noise", "train", real), network
    )
    made = zoo.create("metric", "fd_lite0")
    native = create_features("efficientnet_lite0")
    expected = frechet_distance(extract(native, images)[0], extract(native, real)[0])
    assert made(data)["fd_lite0"] == pytest.approx(expected, rel=1e-6)
    assert made.settings().endswith("bicubic antialiased to 224")


@pytest.mark.parametrize("name", ["fid", "fid_infinity"])
def test_a_small_reference_is_noted_as_few_images_are(name: str) -> None:
    data = compared(noise(400, 0), noise(5, 1))  # of 16 values, so that 40 are enough
    zoo.create("metric", name)(data)
    (note,) = data.notes
    assert " of 5 " in note
    assert "singular" in note


# Realism


def test_realism_on_the_given_vectors() -> None:
    everything = realism(FAKE, REAL, nearest=1, all_radii=True)
    expected = torch.tensor([2, 4.472136, 3.162278, 0.745356], dtype=torch.float64)
    torch.testing.assert_close(everything, expected, rtol=1e-6, atol=1e-6)
    expected = torch.tensor([2, 4.472136, 0.353553, 0.128037], dtype=torch.float64)
    torch.testing.assert_close(realism(FAKE, REAL, nearest=1), expected, rtol=1e-6, atol=1e-6)


def test_realism_shows_the_best_and_the_worst() -> None:
    real = noise(60, 0) // 8 + 100
    flat = real.flatten(1).double()
    radii = torch.cdist(flat, flat).sort(dim=1).values[:, 3]
    copies = real[radii.argsort()[:5]]
    images = torch.cat([copies, noise(5, 1)])
    data = compared(images, real)
    figures = zoo.create("metric", "realism", shown=5)(data)
    assert figures["realistic"] == pytest.approx(0.5)
    best, worst = data.galleries["realism"].values()
    assert sorted(best.flatten(1).tolist()) == sorted(images[:5].flatten(1).tolist())
    assert sorted(worst.flatten(1).tolist()) == sorted(images[5:].flatten(1).tolist())


def test_test_images_are_known_without_labels(tmp_path: Path) -> None:
    from zoo.inference.images import to_pil

    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        for i, image in enumerate(noise(4, 0, side=8)):
            to_pil(image).save(tmp_path / split / f"{i}.png")
    data = zoo.create("datamodule", "image_folder", folder=str(tmp_path), labels="none")
    data.setup()
    assert reference_of(data).test_images is not None
    assert reference_of(data).test_labels is None


def test_figures_that_are_best_in_the_middle_have_no_arrow() -> None:
    assert [heading(name) for name in ("c_t", "auth_pct")] == ["c_t", "auth_pct"]
    assert heading("fid_infinity") == "fid_infinity ↓"
    assert heading("vendi", ("vendi",)) == "vendi ↑"
