"""Latents, labels and seeds: truncation, interpolation, and the lists that users write."""

from __future__ import annotations

import math

import pytest
import torch

import zoo
from zoo.core.errors import ZooError
from zoo.inference.latents import (
    class_index,
    draw_labels,
    interpolate,
    parse_integers,
    parse_labels,
    walk,
)
from zoo.layers.truncated_normal import truncate


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


def test_the_spherical_way_between_latents_of_two_lengths():
    a, b = torch.tensor([[1.0, 2, -1], [0.5, -1, 0.5]], dtype=torch.float64)
    t = torch.tensor(0.25, dtype=torch.float64)
    want = [1.690529, 1.921502, -0.960751]
    assert interpolate(a, b, t, "spherical").tolist() == pytest.approx(want, abs=1e-6)
    unit = interpolate(a / a.norm(), b / b.norm(), t, "spherical")
    assert unit.tolist() == pytest.approx([0.839121, 0.486519, -0.243259], abs=1e-6)


def test_walk_is_closed_and_passes_through_its_points():
    points = torch.randn(3, 8)
    path = walk(points, 12)
    assert path.shape == (12, 8)
    torch.testing.assert_close(path[::4], points)
    with pytest.raises(ZooError, match="frames=1"):
        walk(points, 1)


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
    with pytest.raises(ZooError, match="label=5-3: the range 5-3 must increase"):
        parse_labels("5-3", 10)


def test_a_name_made_of_digits_wins_over_an_index():
    for write in (int, str):  # from Python and on the command line alike
        assert class_index(write("7"), 3, ["5", "7", "2"]) == 1
        assert class_index(write("2"), 3, ["5", "7", "2"]) == 2
        assert class_index(write("5"), 3, ["005", "007", "002"]) == 0
        assert class_index(write("1"), 3, ["cat", "dog", "fox"]) == 1
        for label in (write("0"), write("1")):  # no silent index where names are numbers
            with pytest.raises(
                ZooError, match=r"are 5, 7, 2, and since these names are numbers, a"
            ):
                class_index(label, 3, ["5", "7", "2"])
            with pytest.raises(ZooError, match="label="):
                parse_labels([label], 3, ["5", "7", "2"])


def test_names_that_differ_in_letter_case_alone():
    names = ["Cat", "cat", "Dog"]
    assert [class_index(name, 3, names) for name in names] == [0, 1, 2]
    assert class_index("DOG", 3, names) == 2
    with pytest.raises(ZooError, match=r"label=CAT matches several classes \(Cat, cat\)"):
        parse_labels("CAT", 3, names)


def test_a_range_between_names_that_are_numbers():
    names = ["1", "10", "2", "3", "5"]
    assert parse_labels("1-3", 5, names) == [0, 2, 3]
    assert parse_labels("3-10", 5, names) == [3, 4, 1]
    with pytest.raises(ZooError, match="label=0 is not a class of this model: its classes are"):
        parse_labels("0-1", 5, names)
    assert parse_labels("0-1", 2, ["cat", "dog"]) == [0, 1]
    assert parse_labels("2001-2002", 2, ["2001", "2002"]) == [0, 1]


@pytest.mark.parametrize("label", [10, -1, "ten", "9-12", "11-12", [3, 11], True, "", []])
def test_a_label_out_of_range_names_the_choices(ckpt, label):
    with pytest.raises(
        ZooError, match=r"labels are 0 to 9|label=\[\] is empty|label=True is not an integer"
    ):
        zoo.load(ckpt).sample(1, label=label)


def test_a_number_out_of_range_is_no_slip_of_the_pen():
    with pytest.raises(ZooError, match=r"label=11 is not a class .* 0 to 2\.$"):
        class_index(11, 3, ["0", "1", "2"])
    with pytest.raises(ZooError, match=r"Did you mean 'Trouser'\?$"):
        class_index("Trousers", 3, ["Shirt", "Trouser", "Bag"])


def test_a_label_for_an_unconditional_model_is_refused(plain_ckpt):
    with pytest.raises(ZooError, match="unconditional"):
        zoo.load(plain_ckpt).sample(1, label=5)


def test_sampling_leaves_random_numbers_and_cuda_alone(ckpt, monkeypatch, recwarn):
    """As on a machine with several GPUs, in a process that samples on the CPU."""
    model = zoo.load(ckpt)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    model.sample(2)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.cuda.is_initialized()
    assert not recwarn.list


def test_lists_of_seeds():
    assert parse_integers("0-3, 7", "seeds") == [0, 1, 2, 3, 7]
    assert parse_integers("[5,6]", "seeds") == [5, 6]
    for wrong in ("a", "3-1", "", "0-99999999"):
        with pytest.raises(ZooError, match="seeds"):
            parse_integers(wrong, "seeds")
