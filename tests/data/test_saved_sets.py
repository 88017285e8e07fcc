"""A saved data set of Hugging Face's from anybody: what its library would unpack or follow."""

from __future__ import annotations

import io
import json
import os

import pytest
from PIL import Image

from zoo.core.errors import ZooError
from zoo.data.sources.huggingface import HuggingFace

pa = pytest.importorskip("pyarrow")
datasets = pytest.importorskip("datasets")


@pytest.fixture
def saved(tmp_path):
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    rows = {"image": [{"bytes": out.getvalue(), "path": None}] * 3, "label": ["a", "b", "a"]}
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=kinds).save_to_disk(str(tmp_path / "d"))
    return tmp_path / "d"


def arrow(folder):
    (file,) = folder.glob("*.arrow")
    return file


def rewritten(folder, change=lambda batch: batch, **options):
    """The file of a set again, with other batches or options."""
    with pa.memory_map(str(arrow(folder))) as opened:
        table = pa.ipc.open_stream(opened).read_all()
    batches = [change(batch) for batch in table.combine_chunks().to_batches()]
    file = arrow(folder).with_suffix(".new")
    with pa.OSFile(str(file), "wb") as out:
        written = pa.ipc.IpcWriteOptions(**options)
        with pa.ipc.new_stream(out, table.schema, options=written) as stream:
            for batch in batches:
                stream.write_batch(batch)
    os.replace(file, arrow(folder))


def test_what_the_library_writes_is_read(saved):
    assert len(HuggingFace(str(saved)).pictures) == 3
    rewritten(saved)
    assert HuggingFace(str(saved)).classes == ["a", "b", "a"]


@pytest.mark.parametrize("how", ["zstd", "lz4"])
def test_compressed_buffers_are_refused(saved, how):
    """200 KB became more than 4 GB."""
    rewritten(saved, compression=how)
    with pytest.raises(ZooError, match=r"cannot be loaded .*arrow is compressed"):
        HuggingFace(str(saved))


def test_offsets_that_lead_out_of_a_buffer_are_refused(saved):
    content = arrow(saved).read_bytes()
    offsets = b"".join(i.to_bytes(4, "little") for i in range(4))
    assert content.count(offsets) == 1
    wild = offsets[:12] + (2**30).to_bytes(4, "little")
    arrow(saved).write_bytes(content.replace(offsets, wild))
    with pytest.raises(ZooError, match="cannot be loaded as a Hugging Face data set"):
        HuggingFace(str(saved))


def test_more_rows_than_bytes_are_refused(tmp_path):
    """Rows of nothing take no bytes, and each became a picture's name."""
    kinds = datasets.Features({"label": datasets.Value("null")})
    datasets.Dataset.from_dict({"label": [None]}, features=kinds).save_to_disk(tmp_path / "d")
    rewritten(
        tmp_path / "d",
        lambda batch: pa.RecordBatch.from_arrays([pa.nulls(10**6)], schema=batch.schema),
    )
    with pytest.raises(ZooError, match=r"arrow claims to have 1,000,000 rows in [\d,]+ bytes"):
        HuggingFace(str(tmp_path / "d"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", {"_data_files": [{"filename": "../other.arrow"}]}),
        ("state.json", {"_data_files": [{"filename": "/etc/passwd"}]}),
        ("state.json", {"_data_files": [{"filename": 5}]}),
        ("state.json", {"_data_files": ["x"]}),
        ("state.json", {"_data_files": [], "_indices_data_files": [{"filename": "../x"}]}),
        ("state.json", []),
        ("dataset_dict.json", {"splits": ["../d"]}),
        ("dataset_dict.json", {"splits": 5}),
        ("dataset_dict.json", {"splits": [".."]}),
    ],
)
def test_names_that_lead_elsewhere_are_refused(saved, name, content):
    (saved / name).write_text(json.dumps(content))
    with pytest.raises(ZooError, match="cannot be loaded as a Hugging Face data set"):
        HuggingFace(str(saved))


@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "x.arrow"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda file: file.write_text("[" * 100_000)])
def test_what_never_ends_or_is_too_deep_is_refused(saved, name, make):
    file = arrow(saved) if name == "x.arrow" else saved / name
    file.unlink()
    make(file)
    with pytest.raises(ZooError, match="cannot be loaded as a Hugging Face data set"):
        HuggingFace(str(saved))
