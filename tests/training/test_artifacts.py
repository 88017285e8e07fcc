"""What loggers keep beside curves: checkpoints, tables, videos, tags; MLflow as a whole."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from helpers_train import configure, read, train
from mlflow.exceptions import MlflowException

from zoo.cli.failures import Stopped
from zoo.cli.jobs import run_task
from zoo.core.errors import ZooError
from zoo.training.mlflow import MLFlowLogger

MEASURED = (
    "callbacks=evaluate", "callbacks.evaluate.n=20",
    "callbacks.evaluate.metrics=[fid]", "callbacks.evaluate.split=train",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _offline(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(place))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(place)
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def chunks(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format: in blocks of 32 KiB, in parts where they are long.

    A part has a checksum (4 bytes), its length (2) and what it is (1): whole, first, middle, last.
    """
    place, record = 7, b""  # behind W&B's own mark
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if place + 7 + length > len(content):  # its process is writing it
            return
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def records(run: Path) -> list[Any]:
    """What W&B wrote down offline, to be uploaded; its process ends after the run has."""
    from wandb.proto import wandb_internal_pb2

    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(600):
        found = [wandb_internal_pb2.Record.FromString(c) for c in chunks(file.read_bytes())]
        if any(record.HasField("exit") for record in found):
            return found
        time.sleep(0.1)
    pytest.fail("the end of the run was never written down")


def artifacts(run: Path) -> list[Any]:
    return [record.artifact for record in records(run) if record.HasField("artifact")]


@pytest.mark.parametrize(
    ("keeps", "aliases"),
    [("false", []), ("true", [{"best"}, set()]), ("all", [{"images_000000096"}, {"best"}, set()])],
)  # fmt: skip
def test_wandb_keeps_checkpoints_as_artifacts(tmp_path, keeps, aliases):
    train(tmp_path, "logger=wandb", f"logger.wandb.log_model={keeps}", "tags=[a,b]", *MEASURED,
          "callbacks.checkpoints.every_n_images=96", "trainer.max_steps=7")  # fmt: skip
    sys.modules["wandb"].finish()
    models = [a for a in artifacts(tmp_path) if a.type == "model"]
    assert [set(a.aliases) - {"latest"} for a in models] == aliases  # which W&B gives to each
    for model in models:
        (entry,) = model.manifest.contents
        assert entry.path == "model.ckpt"
        assert Path(entry.local_path).is_file()
    if models:
        assert json.loads(models[-1].metadata)["images_seen"] == 112
        newest = Path(models[-1].manifest.contents[0].local_path)
        assert newest.read_bytes() == (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    runs = [r.run for r in records(tmp_path) if r.HasField("run")]
    assert list(runs[-1].tags) == ["a", "b"]
    tables = list(tmp_path.glob("wandb/offline-run-*/files/media/table/figures_*.table.json"))
    assert len(tables) == 1
    assert json.loads(tables[0].read_text())["columns"] == ["images_seen", "fid"]


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_an_unknown_way_to_keep_models_is_told(tmp_path, logger):
    with pytest.raises(ZooError, match=f"{logger}.log_model=best must be true, false or all"):
        train(tmp_path, f"logger={logger}", f"logger.{logger}.log_model=best")


def test_a_best_checkpoint_of_an_earlier_monitor_is_not_logged_as_this_trainings(
    tmp_path, monkeypatch
):
    logged: list[list[str]] = []
    monkeypatch.setattr(
        "zoo.training.callbacks.checkpoints.log_checkpoint",
        lambda trainer, file, aliases, facts, final: logged.append(aliases),
    )
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    train(tmp_path, "trainer.max_steps=1")
    assert logged == [["latest"]]


def test_a_training_that_a_signal_stops_logs_its_checkpoints_too(tmp_path, monkeypatch):
    """With the time of a batch system over, its best checkpoint was in no log."""
    logged: list[tuple[list[str], int]] = []

    def log(trainer, file, aliases, facts, final):
        logged.append((aliases, read(file)["zoo"]["step"]))

    def told(self, trainer, batch_idx):
        if trainer.global_step == 15:
            self.stopped_by = signal.SIGTERM
        return self.stopped_by is not None

    monkeypatch.setattr("zoo.training.callbacks.checkpoints.log_checkpoint", log)
    monkeypatch.setattr("zoo.training.callbacks.checkpoints.Checkpoints._told_to_stop", told)
    with pytest.raises(Stopped, match="the training is saved"):
        train(tmp_path, "trainer.max_steps=99", "callbacks.checkpoints.monitor=loss_g")
    assert logged == [(["best"], 10), (["latest"], 15)]


def test_local_is_this_machines_database_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    logger = MLFlowLogger(str(tmp_path), tracking_uri="local")
    assert logger.uri == f"sqlite:///{Path('outputs/mlflow.db').absolute()}"
    assert logger.is_local


@pytest.mark.parametrize(
    ("uri", "sends"),
    [("local", False), ("sqlite:///a.db", False), ("file:///tmp/a", False), ("./mlruns", False),
     ("https://tracking.example", True), ("databricks", True), ("postgresql://me@db/a", True)],
)  # fmt: skip
def test_what_leaves_this_machine_is_known_from_the_settings(monkeypatch, uri, sends):
    assert MLFlowLogger.uploads({"tracking_uri": uri}) == sends
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert MLFlowLogger.uploads({}) == sends


def test_a_log_on_a_server_is_told_by_its_address_without_a_password(tmp_path):
    logger = MLFlowLogger(str(tmp_path), tracking_uri="sqlite:///runs.db")
    assert logger.summary()["MLflow"].endswith(
        "; mlflow ui --backend-store-uri sqlite:///runs.db (needs `pip install mlflow`)"
    )
    logger.uri, logger.is_local = "https://me:secret@tracking.example:5000/a", False
    assert logger.summary()["MLflow"].endswith(" at https://tracking.example:5000/a")


def test_a_server_that_does_not_answer_is_given_up_soon(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # no pauses
    asked = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(503)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(MlflowException, match="too many 503"):
            MLFlowLogger(str(tmp_path), tracking_uri=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert len(asked) == 3, "MLflow itself asks eight times"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_mlflow_has_curves_pictures_tables_checkpoints_and_goes_on_in_its_run(tmp_path):
    from mlflow.tracking import MlflowClient

    given = ("logger=mlflow", "logger.mlflow.log_model=true", "tags=[a,b]", *MEASURED)
    summary = train(tmp_path, *given, "+callback=video", "trainer.max_steps=7")
    address = f"sqlite:///{Path('outputs/mlflow.db').absolute()}"
    assert f"mlflow ui --backend-store-uri {address} (" in summary["MLflow"]
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("gan-zoo")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["tags"] == "a, b"
    assert run.data.params["model/lr_g"] == "0.001"
    assert {"loss_d", "fid", "images_per_second"} <= run.data.metrics.keys()
    identity = run.info.run_id
    assert sorted(f.path for f in client.list_artifacts(identity)) == [
        "checkpoints", "figures.md", "images", "video.gif",
    ]  # fmt: skip
    kept = sorted(f.path for f in client.list_artifacts(identity, "checkpoints"))
    assert kept == ["checkpoints/best.ckpt", "checkpoints/last.ckpt"]
    pictures = [f.path for f in client.list_artifacts(identity, "images")]
    assert sum(p.endswith(".png") for p in pictures) == 2

    note = tmp_path / "mlflow_run.txt"
    known = note.read_bytes()
    note.write_bytes(b"\xff\xfe")  # no text, as of a damaged disk
    assert MLFlowLogger(str(tmp_path)).go_on(7, 7) is None
    note.write_bytes(known)
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=12", "model.lr_g=1e-4")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == identity
    steps = [m.step for m in client.get_metric_history(identity, "loss_d")]
    assert steps[-1] == 12
    assert (Path("outputs/mlflow") / identity).is_dir()


def test_evaluating_logs_where_a_logger_is_asked_for(tmp_path):
    train(tmp_path / "run", "trainer.max_steps=2")
    given = ("task=evaluate", f"ckpt={tmp_path / 'run'}", "n=20", "metrics=[fid]")
    more = ("logger=csv", "tags=[a]")
    config, overrides = configure(*given, *more)
    summary = run_task(config, Path.cwd() / "scores", overrides)
    (log,) = Path("scores").glob("csv/*/metrics.csv")
    head, row = log.read_text().splitlines()
    assert {"fid", "images_seen", "step"} == set(head.split(","))
    assert row.split(",")[head.split(",").index("step")] == "32"
    assert summary["log"] == str(log.parent)  # as short as the other paths of its end
    assert summary["figures"] == "scores/metrics.json"
    config, overrides = configure(*given)
    run_task(config, tmp_path / "plain", overrides)
    assert not (tmp_path / "plain" / "csv").exists()


@pytest.mark.parametrize("loggers", [(), ("logger=[]",)])
def test_tags_that_no_logger_takes_are_refused(tmp_path, loggers):
    config, overrides = configure("task=evaluate", "ckpt=mnist", "n=20", "tags=[a]", *loggers)
    with pytest.raises(ZooError, match=r"are for loggers.*add logger=csv, .* or leave tags out"):
        run_task(config, tmp_path, overrides)
