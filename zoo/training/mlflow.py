"""MLflow's logger with a local database, one run over all continuations, pictures and files."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from PIL import Image
from pytorch_lightning import loggers
from pytorch_lightning.utilities import rank_zero_only

from zoo.core.atomic import write_text
from zoo.core.extras import require
from zoo.core.tables import markdown
from zoo.training.loggers import kept_models

_NOTE = "mlflow_run.txt"
"""The file in the run's folder that keeps the id of its MLflow run."""
_LOCAL = "local"
_ID = re.compile(r"[0-9a-f]{32}")


class MLFlowLogger(loggers.MLFlowLogger):
    """Lightning's logger with a database in `outputs/`, which all runs share.

    Args:
        save_dir: the run's folder.
        experiment_name: under which MLflow lists the run.
        run_name: as shown by MLflow; null takes the folder's.
        tracking_uri: a server or a database; `local` is `outputs/mlflow.db` below the current
            folder; null takes the environment's MLFLOW_TRACKING_URI, else `local`.
        log_model: keep the last and the best checkpoint as artifacts; `all` for every one.
        tags: words to find the run by; null takes those of the training.
        options: all others of Lightning's logger.
    """

    def __init__(
        self,
        save_dir: str,
        experiment_name: str = "gan-zoo",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        log_model: bool | Literal["all"] = False,
        tags: list[str] | None = None,
        **options: Any,
    ) -> None:
        require("mlflow", "logger=mlflow", "mlflow", "sqlalchemy", "alembic")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.folder = Path(save_dir)
        uri = _place(tracking_uri)
        self.is_local = not self.uploads({"tracking_uri": tracking_uri})
        if uri == _LOCAL:
            outputs = Path("outputs").absolute()
            outputs.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{outputs / 'mlflow.db'}"
            options.setdefault("artifact_location", (outputs / "mlflow").as_uri())
        self.uri = uri
        self.keeps_models = kept_models("logger.mlflow", log_model)
        super().__init__(
            experiment_name,
            run_name or self.folder.name,
            uri,
            {"tags": ", ".join(tags)} if tags else None,
            save_dir,
            **options,
        )
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(uri)
        self._make_experiment(experiment_name, options.get("artifact_location"))

    @rank_zero_only
    def _make_experiment(self, name: str, place: str | None) -> None:
        from mlflow.exceptions import MlflowException

        with _impatient():
            known = self.client.get_experiment_by_name(name)
        if known is None:
            with contextlib.suppress(MlflowException):  # another program was faster
                self.client.create_experiment(name, place)

    @staticmethod
    def uploads(settings: dict[str, Any]) -> bool:
        """Whether one of such settings would send its log to a server."""
        uri = _place(settings.get("tracking_uri"))
        known = uri.startswith("databricks")  # the one server that is named by a word
        return known or not (len(urlsplit(uri).scheme) < 2 or uri.startswith(("sqlite:", "file:")))

    def go_on(self, step: int, logged: int) -> None:
        """Log to the MLflow run of this folder."""
        from mlflow.exceptions import MlflowException

        note = self.folder / _NOTE
        known = note.read_text(encoding="utf-8", errors="replace").strip() if note.is_file() else ""
        if self._run_id is None and _ID.fullmatch(known):
            with contextlib.suppress(MlflowException):  # it is in another database
                self.client.update_run(known, status="RUNNING")
                self._run_id = known

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log settings, of which a training that goes on keeps the first values, as MLflow does."""
        run = self.experiment.get_run(self.run_id)
        write_text(self.folder / _NOTE, f"{self.run_id}\n")
        flat = {k: v for k, v in _flat(dict(params)).items() if k not in run.data.params}
        super().log_hyperparams(flat)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Image.Image], step: int | None = None) -> None:
        """Log pictures, with a slider over the steps."""
        for image in images:
            self.experiment.log_image(self.run_id, image, key=key, step=step or 0)

    @rank_zero_only
    def log_table(
        self, key: str, columns: list[str], data: list[list[Any]], step: int | None = None
    ) -> None:
        """Keep a table as a Markdown file."""
        self.experiment.log_text(self.run_id, markdown(columns, data) + "\n", f"{key}.md")

    @rank_zero_only
    def log_file(self, name: str, file: Path, step: int | None = None) -> None:
        """Keep a file as an artifact."""
        self.experiment.log_artifact(self.run_id, str(file))

    @rank_zero_only
    def log_checkpoint(self, file: Path, aliases: list[str], facts: dict[str, Any]) -> None:
        """Keep a checkpoint as an artifact, in the folder `checkpoints`."""
        self.experiment.log_artifact(self.run_id, str(file), "checkpoints")

    def summary(self) -> dict[str, str]:
        """Where the log is, for the end of a training."""
        if not self.is_local:
            parts = urlsplit(self.uri)
            place = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            return {"MLflow": f"run {self.run_id} at {place}"}
        shows = f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"
        return {"MLflow": f"run {self.run_id}; {shows}"}


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Ask a server that does not answer for 6 seconds and not for 4 minutes, as in a training."""
    retries = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    if retries in os.environ:
        yield
        return
    os.environ[retries] = "2"
    try:
        yield
    finally:
        del os.environ[retries]


def _place(tracking_uri: str | None) -> str:
    """Where runs are kept: as asked for, as the environment says, or on this machine."""
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _LOCAL


def _flat(values: dict[str, Any], place: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{place}{name}"
        found |= _flat(value, f"{key}/") if isinstance(value, dict) else {key: value}
    return found
