"""What lies beside a foreign checkpoint, and what stands in it, where it is read and shown."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest
import torch
from helpers import make_checkpoint

import zoo
from zoo.cli.newest import name_newest
from zoo.core.errors import ZooError, printable
from zoo.core.tables import labelled
from zoo.explore.compare import read_metrics
from zoo.explore.plots import plot_curves
from zoo.inference.publish import publish
from zoo.metrics.protocol import Protocol, Result
from zoo.metrics.results import find_results, read_findings, read_result
from zoo.tasks.evaluate import _save_with_run
from zoo.tasks.sample import file_names


@pytest.fixture
def model(tmp_path):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    return zoo.load(make_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt", "mlp"))


def changed(tmp_path: Path, change) -> Path:
    file = make_checkpoint(tmp_path / "a.ckpt", "mlp")
    content = torch.load(file, weights_only=True)
    change(content["zoo"])
    torch.save(content, file)
    return file


@pytest.mark.parametrize("make", [os.mkfifo, lambda file: os.symlink("/dev/zero", file)])
def test_what_never_ends_is_not_read(model, tmp_path, make):
    folder = tmp_path / "run" / "evaluations"
    folder.mkdir()
    make(folder / f"images_{model.images_seen:09d}.json")
    with pytest.warns(UserWarning, match="it is not a regular file"):
        assert find_results(model) == []
    make(tmp_path / "run" / "metrics.csv")
    with pytest.raises(ZooError, match=r"cannot be read as a log .it is not a regular file"):
        read_metrics(tmp_path / "run")


def test_results_are_not_written_through_a_link(model, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "run" / "evaluations").symlink_to(tmp_path / "mine")
    protocol = Protocol("a", "b", 1, 1, "f", "w", "r", "ema", "running", "none", "none", {}, 0, "1")
    _save_with_run(Result("m", protocol, {"fid": 1.0}), model)
    assert not list((tmp_path / "mine").iterdir())
    (tmp_path / "run" / "evaluations").unlink()
    _save_with_run(Result("m", protocol, {"fid": 1.0}), model)
    assert len(list((tmp_path / "run" / "evaluations").iterdir())) == 1


def test_brackets_are_no_results(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("[" * 100_000)
    with pytest.raises(ZooError, match="not a result of task=evaluate"):
        read_result(file)
    with pytest.raises(ZooError, match="cannot be read"):
        read_findings(file)


def test_a_log_of_many_columns_or_a_long_cell_is_none(tmp_path):
    names = [f"c{i}" for i in range(1000)]
    for text in (f"step,{','.join(names)}\n1\n", f"step,a\n1,{'x' * 200_000}\n"):
        (tmp_path / "metrics.csv").write_text(text)
        with pytest.raises(ZooError, match="cannot be read as a log"):
            read_metrics(tmp_path)


def test_dollar_signs_are_no_formula(tmp_path):
    curves = {r"$\frac{$": ([1.0], [1.0]), "loss_$x_$": ([1.0], [1.0])}
    plot_curves(curves, tmp_path / "a.png", r"$\frac{$ on x")
    assert (tmp_path / "a.png").is_file()


def test_a_card_holds_what_it_should_whatever_the_data_are_called(tmp_path):
    name = "x\nlicense: mit\n---\n<b>\x1b[2J"
    file = changed(tmp_path, lambda info: info["data"].update(name=name))
    publish(zoo.load(file), f"file:{tmp_path / 'out'}", figures="a\n```\n# b")
    text = (tmp_path / "out" / "README.md").read_text()
    front = text.split("---\n")[1]
    assert front.splitlines()[:4] == [
        "tags:",
        "- gan",
        "- gan-zoo",
        '- "x?license: mit?---?<b>?[2J"',
    ]
    assert "\nlicense" not in text
    assert "\x1b" not in text
    assert text.count("```") == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.update(format=99, version="\x1b[2J" * 10_000),
        lambda info: info.update(weights="x" * 10_000),
        lambda info: info["generator"].update(name="x" * 10_000),
        lambda info: info["data"].update(name="x" * 10_000),
    ],
)
def test_a_sentence_about_a_description_stays_short(tmp_path, change):
    with pytest.raises(ZooError) as caught:
        zoo.load(changed(tmp_path, change))
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert "\x1b" not in str(caught.value)


def test_names_of_files_fit_every_system():
    names = file_names(["𝒜" * 900, "..", "/etc/x", "\x1b[2J", "a"])
    assert max(len(name.encode()) for name in names) <= 180
    assert not any("/" in name or "\x1b" in name for name in names)


def test_what_is_printed_moves_no_cursor():
    assert printable("a\x1b[2J\n\u202eb\udc80") == "a?[2J??b?"
    assert labelled({"x": "a\x1b\nb"}) == "x  a?\nb"


def test_the_newest_run_is_printed_whatever_it_is_called(tmp_path, monkeypatch, capsys):
    make_checkpoint(tmp_path / "a\x1b[2J\rb" / "checkpoints" / "last.ckpt", "mlp")
    monkeypatch.chdir(tmp_path)
    assert name_newest(["ckpt=last"]) == ["ckpt='a\x1b[2J\rb'"]
    assert capsys.readouterr().out == "note: ckpt=last is a?[2J?b\n"


def test_the_nearest_of_many_long_names_are_found_among_the_first(tmp_path, monkeypatch):
    """A path is held against so many letters only: the time went with their square."""
    for i in range(2000):
        (tmp_path / f"{i:04d}{'ab' * 100}.ckpt").touch()
    looked = []
    close = difflib.get_close_matches

    def noted(word, names, *arguments, **options):
        looked.append((len(word), len(names), max(map(len, names))))
        return close(word, names, *arguments, **options)

    monkeypatch.setattr(difflib, "get_close_matches", noted)
    with pytest.raises(ZooError, match=r"Most similar: .*ab\.ckpt, .*ab\.ckpt, .*ab\.ckpt\."):
        zoo.load(tmp_path / f"{'ba' * 110}.ckpt")
    assert looked[-1] == (100, 500, 100)
