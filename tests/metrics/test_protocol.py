"""The protocol beside every figure: results, their tables, and the cache of reference features."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch

import zoo
from zoo.core.errors import ZooError
from zoo.metrics.cache import cache_path, images_hash, reference_features
from zoo.metrics.features.base import Features, create_features
from zoo.metrics.protocol import Protocol, Result, same_protocol, table


@pytest.fixture(scope="module")
def network() -> Features:
    return create_features("mnist")


def make_result(model: str = "a", seed: int = 0, **changes: object) -> Result:
    protocol = Protocol(
        reference="mnist/train 1x32x32",
        reference_hash="0" * 12,
        reference_count=55_000,
        generated_count=10_000,
        features="mnist",
        weights_hash="1" * 12,
        resizer="none",
        weights="ema",
        batch_norm="running",
        labels="none",
        truncation="none",
        settings={"fid": "", "modes": ""},
        seed=seed,
        zoo_version="0",
    )
    protocol = dataclasses.replace(protocol, **changes)  # type: ignore[arg-type]
    return Result(model, protocol, {"fid": 1.5 + seed, "modes": 10.0}, pairs=[(0, 1, 0.5)])


def test_results_survive_json(tmp_path: Path) -> None:
    result = make_result()
    result.save(tmp_path / "metrics.json")
    assert Result.from_json((tmp_path / "metrics.json").read_text()) == result
    for text in ("", "[]", '{"model": "a"}'):
        with pytest.raises(ZooError, match="not a result of task=evaluate"):
            Result.from_json(text)


def test_values_that_are_not_there_are_null() -> None:
    result = make_result()
    result.per_class["fid"] = [1.0, math.nan]
    result.figures["modes"] = math.nan
    text = result.to_json()
    assert "NaN" not in text
    again = Result.from_json(text)
    assert again.per_class["fid"][0] == 1.0
    assert math.isnan(again.per_class["fid"][1])
    assert re.search(r"modes ↑ +-\n", again.table())
    result.figures["modes"] = math.inf
    assert result.table() == again.table()
    assert math.isnan(Result.from_json(result.to_json()).figures["modes"])


def test_tables_name_their_protocol() -> None:
    one = make_result().table()
    assert re.search(r"fid ↓ +1\.5\n", one)
    assert re.search(r"modes ↑ +10\n", one)
    for part in ("mnist/train", "0" * 12, "1" * 12, "ema", "running", "10,000", "seed 0"):
        assert part in one
    both = table([make_result("first"), make_result("second", seed=1)])
    assert "seeds 0, 1" in both
    assert [line.split()[0] for line in both.splitlines()[2:4]] == ["first", "second"]


@pytest.mark.parametrize(
    "change", [{"weights": "raw"}, {"generated_count": 5000}, {"weights_hash": "2" * 12}]
)
def test_two_protocols_never_share_a_table(change: dict[str, object]) -> None:
    with pytest.raises(ZooError, match=f"different protocols.*{next(iter(change))}"):
        table([make_result("a"), make_result("b", **change)])
    with pytest.raises(ZooError, match="no result"):
        table([])


def test_settings_belong_to_each_metric() -> None:
    old = make_result("old")
    more = make_result("more", settings={"fid": "", "kid": "KID 9 subsets"}, zoo_version="9")
    assert table([old, more]).count("KID 9 subsets; zoo 0, 9\n") == 1
    other = make_result("other", settings={"kid": "KID 8 subsets"})
    assert [len(group) for group in same_protocol([old, more, other])] == [2, 1]
    with pytest.raises(ZooError, match="settings of kid: KID 9 subsets / KID 8 subsets"):
        table([old, more, other])
    raised = make_result("raised", settings={"fid": "fid, protocol 2"})
    with pytest.raises(ZooError, match="settings of fid: none / fid, protocol 2"):
        table([old, raised])
    together = old.updated(more).protocol
    assert together.settings == {"fid": "", "modes": "", "kid": "KID 9 subsets"}
    assert old.protocol.of_the_model() == more.protocol.of_the_model()


def test_results_of_before_keep_their_settings() -> None:
    text = (
        "KID 100 subsets of up to 1000; IS 10 splits; "
        "PRDC up to the 5th neighbour of up to 10,000 images a side; CAS 3 epochs"
    )
    written = json.loads(make_result().to_json())
    written["protocol"]["settings"] = text
    del written["higher_is_better"]
    result = Result.from_json(json.dumps(written))
    now = {name: zoo.create("metric", name).recorded() for name in result.protocol.settings}
    assert result.protocol.settings == now
    assert len(now) == 10
    assert f"; {text}; zoo 0\n" in result.table()


def test_reference_features_are_kept_and_keyed(
    network: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    images = torch.randint(0, 256, (20, 1, 32, 32), dtype=torch.uint8)
    path = cache_path(network, images_hash(images))
    first = reference_features(network, images)
    assert path.is_file()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    modified = path.stat().st_mtime_ns
    assert torch.equal(reference_features(network, images), first)
    assert path.stat().st_mtime_ns == modified

    path.write_bytes(b"damaged")
    assert torch.equal(reference_features(network, images), first)
    assert path.stat().st_size > 1000

    changed = images.clone()
    changed[0, 0, 0, 0] ^= 1
    keys = {cache_path(network, images_hash(i)) for i in (images, changed)}
    keys.add(cache_path(create_features("fashion_mnist"), images_hash(images)))
    assert len(keys) == 3


def test_a_cache_that_cannot_be_written_costs_no_result(
    network: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    images = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    with pytest.warns(UserWarning, match="could not be cached"):
        assert reference_features(network, images).shape == (3, 128)


def test_both_caches_lie_in_one_folder(
    network: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value, folder in [
        ("XDG_CACHE_HOME", tmp_path / "x", tmp_path / "x" / "gan-zoo"),
        ("ZOO_CACHE", tmp_path / "own", tmp_path / "own"),
    ]:
        monkeypatch.delenv("ZOO_CACHE", raising=False)
        monkeypatch.setenv(name, str(value))
        assert cache_path(network, "0").parent == folder / "features"
        for pictures in ("image_folder", "celeba"):
            assert zoo.create("datamodule", pictures).cache.folder == folder
