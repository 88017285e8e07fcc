"""A sweep's folder may come from anywhere: what lies in it is read within bounds, or left out."""

from __future__ import annotations

import json
import os

import pytest
from PIL import Image

from zoo.core.errors import ZooError
from zoo.core.foreign import MOST_LINE
from zoo.explore import compare as module
from zoo.explore.compare import compare, draw, read_metrics, read_runs

ALIASES = "- &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &{name} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""8^9 texts, once the aliases are followed."""


@pytest.fixture
def sweep(tmp_path):
    for name in ("0", "1"):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "overrides.yaml").write_text(f"- seed={name}\n")
        (tmp_path / name / "summary.json").write_text('{"loss_d": 1.0}')
    return tmp_path


def _fifo(file):
    os.mkfifo(file)


def _endless(file):
    file.symlink_to("/dev/zero")


def _with_holes(file):
    with file.open("wb") as opened:
        opened.truncate(2**40)


@pytest.mark.parametrize("place", ["summary.json", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("make", [_fifo, _endless, _with_holes])
def test_what_never_ends_is_left_out(sweep, place, make):
    (sweep / "1" / place).unlink()
    make(sweep / "1" / place)
    with pytest.warns(UserWarning, match=r"a run is left out: .*1/.* cannot be read: it "):
        assert [run["folder"].name for run in read_runs(sweep)] == ["0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ALIASES, "not a list of strings"),
        ("[" * 60_000, "nested too deeply"),
        ("- !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: b\n", "not a list of strings"),
        ("- 1\n", "not a list of strings"),
        ("- 'x\n", "quoted scalar"),
        ("- a=1\n" * 1000, "more than 200 entries"),
        ("# " + "x" * 70_000, "more than 65,536 bytes"),
    ],
)
def test_overrides_that_are_none(sweep, text, reason):
    (sweep / "1" / ".hydra" / "overrides.yaml").write_text(text)
    with pytest.warns(
        UserWarning, match=rf"left out: .*overrides\.yaml cannot be read: .*{reason}"
    ):
        assert len(read_runs(sweep)) == 1


def test_overrides_are_texts_of_which_nothing_is_resolved(sweep, monkeypatch):
    monkeypatch.setenv("A_SECRET", "42")
    file = sweep / "1" / ".hydra" / "overrides.yaml"
    file.write_text("- seed=${oc.env:A_SECRET}\n")
    assert read_runs(sweep)[1]["overrides"] == ["seed=${oc.env:A_SECRET}"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[]", "not a summary of a run"),
        ('{"error": {"a": 1}}', "not a summary of a run"),
        (json.dumps({f"c{i}": 1 for i in range(1000)}), "more than 200 entries"),
        ('{"loss_d": 1' + "0" * 400 + "}", "too large"),
        ('{"loss_d": 1' + "0" * 5000 + "}", "limit"),
        ("\x00", "Expecting value"),
    ],
)
def test_summaries_that_are_none(sweep, text, reason):
    (sweep / "1" / "summary.json").write_text(text)
    with pytest.warns(UserWarning, match=rf"left out: .*summary\.json cannot be read: .*{reason}"):
        assert len(read_runs(sweep)) == 1


def test_no_overrides_is_one_sentence(sweep):
    (sweep / "1" / ".hydra" / "overrides.yaml").unlink()
    with pytest.warns(UserWarning, match=r"left out: .*1/\.hydra/overrides\.yaml cannot be read"):
        assert len(read_runs(sweep)) == 1


def test_what_is_printed_moves_no_cursor(sweep, capsys):
    (sweep / "1" / ".hydra" / "overrides.yaml").write_text('- "seed=\\e[2J"\n')
    (sweep / "1" / "summary.json").write_text('{"error": "\\u001b]0;x\\u0007 \\u202e gone"}')
    (sweep / "\x1b[31m").mkdir()
    os.rename(sweep / "0", sweep / "\x1b[31m" / "x")
    os.rename(sweep / "\x1b[31m" / "x", sweep / "0\x1b[1m")
    compare(sweep)
    out = capsys.readouterr().out
    assert out == (sweep / "comparison.md").read_text()
    assert all(c.isprintable() or c == "\n" for c in out)


def _add_picture(run, picture):
    (run / "samples").mkdir()
    picture.save(run / "samples" / "images_1.png")


def test_pictures_that_are_none_are_left_out(sweep, monkeypatch):
    _add_picture(sweep / "0", Image.new("L", (64, 64)))
    assert draw(sweep, read_runs(sweep)) is not None
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    with pytest.warns(UserWarning, match=r"a picture is left out: .*more than 1,000 pixels"):
        assert draw(sweep, read_runs(sweep)) is None
    (sweep / "1" / "samples").mkdir()
    os.mkfifo(sweep / "1" / "samples" / "images_9.png")
    with pytest.warns(
        UserWarning, match=r"a picture is left out: .*images_9.png .it is not a regular file"
    ):
        draw(sweep, read_runs(sweep))


def test_links_out_of_a_run_are_not_followed(sweep, tmp_path_factory):
    mine = tmp_path_factory.mktemp("mine")
    Image.new("L", (8, 8)).save(mine / "private.png")
    (sweep / "0" / "samples").symlink_to(mine)
    assert draw(sweep, read_runs(sweep)) is None


def test_a_picture_of_many_runs_shows_the_first(sweep, monkeypatch, capsys):
    monkeypatch.setattr(module, "MOST_DRAWN", 1)
    _add_picture(sweep / "0", Image.new("RGB", (8, 8)))
    assert draw(sweep, read_runs(sweep)) is not None
    assert "comparison.png shows the first 1 of 2 runs" in capsys.readouterr().out


def test_a_log_with_a_hole_is_read_no_further_than_a_line(tmp_path):
    with (tmp_path / "metrics.csv").open("wb") as opened:
        opened.write(b"step,loss_d\n1,0.5\n")
        opened.truncate(2**40)
    with pytest.raises(ZooError, match=f"a line of {MOST_LINE:,} characters or more"):
        read_metrics(tmp_path)
