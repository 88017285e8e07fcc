"""Archives that Python and PyTorch read differently, and files larger than the memory."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
import torch
from helpers import make_checkpoint
from safetensors.torch import save_file

import zoo
from zoo.core import memory, tensors
from zoo.core.errors import ZooError
from zoo.core.tensors import check_archive
from zoo.layers.pretrained import read_weights

END = b"PK\5\6"


def packed(content: bytes, how: int, more: dict[str, bytes]) -> bytes:
    """An archive's entries again, and further ones."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", how) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name, data in more.items():
            new.writestr(name, data)
    return out.getvalue()


def one_in_front_of_another(seen_by_torch: bytes, seen_by_python: bytes) -> bytes:
    """Python looks for the table before the end and moves its offsets; PyTorch takes them as given.

    The end says where the table of the first archive is, and both tables are of one length.
    """
    place = seen_by_torch.rfind(END)
    count, size, start = struct.unpack("<HLL", seen_by_torch[place + 10 : place + 20])
    end = seen_by_python.rfind(END)
    own, own_size, own_start = struct.unpack("<HLL", seen_by_python[end + 10 : end + 20])
    assert own == count
    table = bytearray(seen_by_python[own_start:end])
    last = table.rfind(b"PK\1\2")
    comment = struct.unpack("<H", table[last + 32 : last + 34])[0]
    table[last + 32 : last + 34] = struct.pack("<H", comment + size - own_size)
    table += b" " * (size - own_size)
    closing = struct.pack("<4s4H2LH", END, 0, 0, count, count, size, start, 0)
    return seen_by_torch[:place] + seen_by_python[:own_start] + bytes(table) + closing


@pytest.fixture
def file(tmp_path):
    return make_checkpoint(tmp_path / "a.ckpt", "mlp")


def test_an_archive_that_two_readers_see_differently_is_refused(file, tmp_path):
    """What was checked was one archive, and what PyTorch took another, compressed one."""
    content = file.read_bytes()
    shown = packed(content, zipfile.ZIP_STORED, {"x": b""})
    taken = packed(content, zipfile.ZIP_DEFLATED, {"archive/data/999": b"\0" * 10**6})
    other = tmp_path / "b.ckpt"
    other.write_bytes(one_in_front_of_another(taken, shown))
    with zipfile.ZipFile(other) as archive:
        assert "x" in archive.namelist()
    with pytest.raises(ValueError, match="there are data before its first entry"):
        check_archive(other)
    with pytest.raises(ZooError, match="damaged or not a checkpoint"):
        zoo.load(other)


def test_what_stands_around_an_archive_is_refused(file, tmp_path):
    content, other = file.read_bytes(), tmp_path / "b.ckpt"
    changed = bytearray(packed(content, zipfile.ZIP_STORED, {}))
    changed[-2:] = struct.pack("<H", 4)
    for data, reason in (
        (b"#!/bin/sh\n" + content, "before its first entry|not where its end record says"),
        (content + b"more", "there are data after its directory"),
        (bytes(changed) + b"more", "there are data after its directory"),
    ):
        other.write_bytes(data)
        with pytest.raises(ValueError, match=reason):
            check_archive(other)
    check_archive(file)


def test_a_table_elsewhere_is_refused(file, tmp_path):
    content = bytearray(file.read_bytes())
    assert content[-42:-38] == b"PK\6\7", "PyTorch writes the records of large archives"
    check_archive(file)
    content[-34:-26] = struct.pack("<Q", 1234)
    (tmp_path / "b.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match="not where its end record says"):
        check_archive(tmp_path / "b.ckpt")


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_file_larger_than_the_memory_is_refused(file, tmp_path, monkeypatch, suffix):
    """A file with holes takes few bytes on the disk, and its length in memory."""
    with (tmp_path / f"b{suffix}").open("wb") as opened:
        opened.truncate(2**43)
    with pytest.raises(ZooError, match=r"has 8,796\.1 GB, more than the .* GB of memory"):
        zoo.load(tmp_path / f"b{suffix}")
    monkeypatch.setattr(memory, "usable_memory", lambda: None)
    assert zoo.load(file).images_seen


@pytest.mark.parametrize("key", ["images_seen", "step", "averaged", "format", "new"])
@pytest.mark.parametrize("number", [10**600, -(10**600), 2**63 + 1], ids=["+", "-", "2^63"])
def test_numbers_beyond_all_counts_are_refused(file, key, number):
    content = torch.load(file, weights_only=True)
    content["zoo"][key] = number
    torch.save(content, file)
    with pytest.raises(ZooError, match=r"has a number beyond 2\^63 in its description"):
        zoo.load(file)
    del content["zoo"][key]
    content["zoo"]["generator"]["options"]["width"] = [number]
    torch.save(content, file)
    with pytest.raises(ZooError):
        zoo.load(file)


@pytest.mark.parametrize("reader", [zoo.load, lambda file: read_weights(file, "x")])
def test_a_file_of_very_many_tensors_is_refused(tmp_path, monkeypatch, reader):
    """A million without values, 68 MB, took more than two minutes."""
    save_file({f"t{i}": torch.zeros(0) for i in range(20)}, tmp_path / "a.safetensors")
    monkeypatch.setattr(tensors, "MOST_TENSORS", 19)
    with pytest.raises(ZooError, match=r"20 tensors|no file of weights"):
        reader(tmp_path / "a.safetensors")
