"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from zoo.core.atomic import commit, keep, remove_partials, replacing, write_once, write_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "folder" / "a.txt"
    write_text(file, "old")

    def fail():
        with replacing(file) as partial:
            partial.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fail()
    assert file.read_text() == "old"
    write_text(file, "new")
    assert file.read_text() == "new"
    assert os.listdir(file.parent) == ["a.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_one_of_several_first_writers_stays(tmp_path, monkeypatch, links):
    if not links:

        def link(*given):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", link)
    file = tmp_path / "folder" / "key"
    seen = []

    def look(made, path):  # when the name appears, the file is whole
        seen.append(Path(made).read_bytes())
        return original(made, path)

    name = "link" if links else "replace"
    original = getattr(os, name)
    monkeypatch.setattr(os, name, look)
    write_once(file, b"first")
    assert seen == [b"first"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    if links:
        write_once(file, b"second")
        assert file.read_bytes() == b"first"
    assert os.listdir(file.parent) == ["key"]


def test_what_killed_processes_left_is_removed(tmp_path):
    names = (".last.ckpt.tmp", "last.ckpt", ".hidden", "notes.tmp")
    for name in names:
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).touch()
    remove_partials(tmp_path)
    assert {p.name for p in (tmp_path / "a").iterdir()} == set(names[1:])


@pytest.mark.parametrize("links", [True, False])
def test_the_file_before_is_kept(tmp_path, monkeypatch, links):
    def refuse(*args):
        raise OSError("this disk has no links")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    last, previous = tmp_path / "last", tmp_path / "previous"
    for text in ("one", "two", "three"):
        (tmp_path / "new").write_text(text)
        if last.exists():
            keep(last, previous)
        commit(tmp_path / "new", last)
    assert last.read_text() == "three"
    assert previous.read_text() == "two"
    assert sorted(os.listdir(tmp_path)) == ["last", "previous"]


def test_half_a_letter_does_not_keep_a_text_from_its_file(tmp_path):
    """As in the name of a folder, and so of a class, that is no UTF-8."""
    write_text(tmp_path / "a.html", "a\udcff\ud800b")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "a??b"
