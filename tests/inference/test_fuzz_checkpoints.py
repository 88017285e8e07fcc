"""A few of the fuzzer's checkpoints, and the checksum of safetensors files."""

from __future__ import annotations

import json
import random
import struct

import pytest
import torch
from helpers import make_checkpoint
from helpers_fuzz import script
from safetensors import safe_open
from safetensors.torch import save_file

import zoo
from zoo.core.errors import ZooError


@pytest.mark.parametrize("seed", [1, 2])
def test_no_mutated_checkpoint_runs_code_or_ends_in_a_bare_error(seed, recwarn):
    counts, wrong = script("checkpoints").fuzz(25, seed)
    assert not wrong
    assert sum(n for kind, n in counts.items() if kind.endswith("refused")) > 5


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    return zoo.load(make_checkpoint(folder / "a.ckpt")).save(folder / "a.safetensors")


def test_every_flipped_bit_of_a_safetensors_file_is_seen(saved, tmp_path):
    data = saved.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    rng = random.Random(0)
    for _ in range(50):
        changed = bytearray(data)
        changed[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
        file = tmp_path / "flipped.safetensors"
        file.write_bytes(changed)
        with pytest.raises(ZooError, match="is damaged: its tensors or its description"):
            zoo.load(file)


def test_a_description_that_was_changed_is_seen(saved, tmp_path):
    with safe_open(saved, framework="pt") as content:
        metadata = content.metadata()
        tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    info = json.loads(metadata["zoo"])
    info["images_seen"] += 1
    metadata["zoo"] = json.dumps(info)
    save_file(tensors, tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(ZooError, match="is damaged"):
        zoo.load(tmp_path / "a.safetensors")
    del metadata["sha256"]  # as of files before there was one
    save_file(tensors, tmp_path / "b.safetensors", metadata=metadata)
    assert zoo.load(tmp_path / "b.safetensors").images_seen == info["images_seen"]


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_a_checksum_holds_for_every_kind_of_number(tmp_path, dtype):
    from zoo.inference.files import read, write_generator

    info = zoo.load(make_checkpoint(tmp_path / "a.ckpt")).info
    state = {"a": torch.randn(3, 4).t(), "count": torch.tensor(5), "none": torch.zeros(0, 2)}
    write_generator(tmp_path / "a.safetensors", info, state, dtype)
    assert read(tmp_path / "a.safetensors")[1]["generator.count"] == 5
