"""Archives and labels from anybody: small files that claim to be large, and odd contents."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.core.errors import ZooError
from zoo.data import picture_cache
from zoo.data.layout import labels_in
from zoo.data.picture_cache import CHUNK, CHUNK_BYTES, PictureCache, in_chunks
from zoo.data.pictures import SMALL_JPEG
from zoo.data.sources.huggingface import HuggingFace
from zoo.data.sources.opening import open_source
from zoo.metrics.folders import look_at


def picture() -> bytes:
    made = io.BytesIO()
    Image.new("L", (8, 8)).save(made, "PNG")
    return made.getvalue()


def load(place, **options):
    data = zoo.create("datamodule", "image_folder", folder=str(place), image_size=8, **options)
    data.setup()
    return data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


def packed(file, contents: dict[str, bytes]):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file


def test_a_picture_of_zeros_is_not_unpacked(tmp_path):
    file = packed(tmp_path / "a.zip", {"a.png": b"\0" * 20_000_000, "b.png": picture()})
    with pytest.raises(ZooError, match=r"a.png .*it claims to be 20 MB large in 19,\d+ bytes"):
        load(file)


def test_labels_of_brackets_are_not_unpacked(tmp_path):
    labels = b'{"labels":[' + b"[]," * 6_000_000 + b"[]]}"
    file = packed(tmp_path / "a.zip", {"a.png": picture(), "dataset.json": labels})
    with pytest.raises(ZooError, match=r"dataset.json cannot be read as labels .it claims to be"):
        load(file)


def array(values: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, values, allow_pickle=True)
    return made.getvalue()


IMAGES = np.zeros((2, 8, 8, 1), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((10**6, 1, 1, 1), np.uint8)}, r"claims to be \(1000000, 1, 1, 1\) in"),
        ({"images": IMAGES, "labels": np.zeros(2, int), "class_names": np.full(5 * 10**6, "a")},
         "class_names claims to be"),
        ({"images": IMAGES, "labels": np.array([{}, 1], object)}, "allow_pickle=False|object"),
    ],
)  # fmt: skip
def test_arrays_that_claim_to_be_large(tmp_path, arrays, words):
    contents = {f"{name}.npy": array(values) for name, values in arrays.items()}
    with pytest.raises(ZooError, match=words):
        load(packed(tmp_path / "a.npz", contents), channels=1)


def test_a_header_that_python_cannot_read(tmp_path):
    header = b"-" * 9000 + b"1\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(ZooError, match=r"cannot be read as a .npz file"):
        load(packed(tmp_path / "a.npz", {"images.npy": content}), channels=1)


def test_damage_in_what_is_unpacked(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, 5000)
    contents = {"images.npy": array(np.zeros((5000, 8, 8), np.uint8)), "labels.npy": array(values)}
    file = packed(tmp_path / "a.npz", contents)
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("labels.npy").header_offset + 60
    content[start : start + 100] = b"\xff" * 100
    file.write_bytes(content)
    with pytest.raises(ZooError, match=r"cannot be read as a .npz file"):
        load(file, channels=1)


def test_a_sample_of_brackets(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in {"1.png": picture(), "1.json": b"[" * 60_000}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(ZooError, match="cannot be read as a tar file"):
        open_source(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("size", [-1, -5, -1536, -(2**40)])
def test_a_sample_of_less_than_no_bytes(tmp_path, size):
    """Of -1536 bytes the next header is the same one again: it was read for ever."""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("0.png")
        entry.size = len(picture())
        archive.addfile(entry, io.BytesIO(picture()))
        entry = tarfile.TarInfo("1.png")
        entry.pax_headers = {"size": str(size)}
        entry.size = len(picture())
        archive.addfile(entry, io.BytesIO(picture()))
    with pytest.raises(ZooError, match=f"cannot be read as a tar file .*claims to have {size} byt"):
        open_source(str(tmp_path / "a.tar"))


def test_chunks_hold_few_bytes():
    contents = [b"\0" * (CHUNK_BYTES // 4)] * 10 + [b""] * (CHUNK + 1)
    chunks = list(in_chunks(contents))
    assert [c for chunk in chunks for c in chunk.contents] == contents
    assert [chunk.first for chunk in chunks] == [0, 4, 8, 8 + CHUNK]
    assert max(chunk.size for chunk in chunks) == CHUNK_BYTES


def test_no_program_is_asked_for_a_picture(tmp_path, monkeypatch):
    """Pillow has Ghostscript read an EPS file, whatever the file is called: it is a program."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "b.png").write_bytes(picture())
    (tmp_path / "p" / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )
    with pytest.warns(UserWarning, match=r"1 of 2 pictures .* the first is a\.png"):
        load(tmp_path / "p", on_error="skip")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", ["TGA", "ICNS", "PCX", "DDS", "MPO", "JPEG"])
def test_formats_are_those_of_the_endings_whatever_a_file_is_called(tmp_path, form):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png", form)
    if form in ("MPO", "JPEG"):
        assert load(tmp_path).size("train") == 1
        return
    with pytest.raises(ZooError, match="cannot be read as a picture"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["labels.csv", "dataset.json"])
@pytest.mark.parametrize("given", [True, False])
def test_labels_with_a_hole_are_refused(tmp_path, name, given):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(picture())
    file = tmp_path / name if given else tmp_path / "p" / name
    with file.open("wb") as opened:
        opened.truncate(2**40)
    with pytest.raises(ZooError, match="it has more than 536,870,912 bytes"):
        load(tmp_path / "p", labels=str(file) if given else name)


def test_a_picture_with_a_hole_is_left(tmp_path):
    with (tmp_path / "a.tif").open("wb") as opened:
        Image.new("L", (8, 8)).save(opened, "TIFF")
        opened.truncate(2**33)
    with pytest.raises(ZooError, match=r"cannot be read as a picture .it has more than 2 GB"):
        load(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"skipped": [[99, "x"]], "value_range": null}',
        '{"skipped": [["a", "x"]], "value_range": null}',
        '{"skipped": [[0, 5]], "value_range": null}',
        None,
    ],
)
def test_notes_of_a_cache_that_are_none_are_made_anew(tmp_path, monkeypatch, text):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(picture())
    load(tmp_path / "p")
    (notes,) = (tmp_path / "cache").rglob("*.json")
    notes.unlink()
    if text is None:
        os.mkfifo(notes)
    else:
        notes.write_text(text)
    assert load(tmp_path / "p").size("train") == 1
    assert json.loads(notes.read_text()) == {"skipped": [], "value_range": None}


def test_cached_pictures_that_are_a_pipe_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(picture())
    load(tmp_path / "p")
    (cached,) = (tmp_path / "cache").rglob("*.npy")
    cached.unlink()
    os.mkfifo(cached)
    assert load(tmp_path / "p").size("train") == 1


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"version": 1, "shards": [null]}', '{"version": 1}', "[1]"]
)
def test_an_index_of_shards_that_is_none_is_made_anew(tmp_path, monkeypatch, text):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.size = len(picture())
        archive.addfile(entry, io.BytesIO(picture()))
    open_source(str(tmp_path / "a.tar"))
    (index,) = (tmp_path / "cache").glob("shards-*.json")
    index.write_text(text)
    assert len(open_source(str(tmp_path / "a.tar")).pictures) == 1


def test_large_files_are_decoded_side_by_side():
    """Sixteen large pictures were one piece of work, for one thread, of which nothing was told."""
    sizes = [10, 10, SMALL_JPEG + 1, SMALL_JPEG + 1, 10, 10]
    chunks = list(in_chunks(list("abcdef"), sizes))
    assert ["".join(map(str, chunk.contents)) for chunk in chunks] == ["abc", "d", "ef"]
    assert [chunk.first for chunk in chunks] == [0, 3, 4]


def test_what_takes_long_is_told_where_no_terminal_is(tmp_path, monkeypatch, capfd):
    for name in "ab":
        Image.new("I;16", (8, 8)).save(tmp_path / f"{name}.png")
    for seconds, told in ((1000, False), (0, True)):
        monkeypatch.setattr(picture_cache, "QUIET_SECONDS", seconds)
        PictureCache(tmp_path / f"cache{seconds}").load(open_source(str(tmp_path)), 8, 1)
        said = capfd.readouterr().err
        assert [w in said for w in ("looking for more than 8 bits", "decoding")] == [told] * 2


def test_a_row_that_names_a_file_elsewhere(tmp_path):
    source = HuggingFace.__new__(HuggingFace)
    source.place = str(tmp_path / "set")
    inside = str(tmp_path / "set" / "a.png")
    assert source._content({"bytes": None, "path": inside}) == inside
    for path in (str(tmp_path / "a.png"), "/etc/passwd", f"{inside}/../../a.png"):
        assert isinstance(source._content({"bytes": None, "path": path}), ValueError)
    assert source._content({"bytes": b"x", "path": "/etc/passwd"}) == b"x"
    source.class_names = ["a"]
    with pytest.raises(ZooError, match="has the class 7 in its column 'label', but the column's 1"):
        source._class_of("set", "label", 7)


def test_labels_beside_few_pictures_are_read_line_by_line():
    lines = "".join(f"other{i}.png,{i}\r\n" for i in range(1000))
    assert labels_in(f"file,label\r\n{lines}a.png,7\r\n", "l.csv", ["a.png"]) == ["7"]
    assert labels_in(json.dumps([["b", 1], ["a", 2]]), "l.json", ["a.png"]) == ["2"]


def test_a_picture_that_claims_to_be_huge_among_those_of_a_comparison(tmp_path, monkeypatch):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("L", (40, 40)).save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert dict(look_at(tmp_path).sizes) == {(4, 4): 1}
