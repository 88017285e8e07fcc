"""An MLflow logger with a local database by default, which continues its run after a resume."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from PIL import Image
from pytorch_lightning import loggers
from pytorch_lightning.utilities import rank_zero_only

from zoo.core.atomic import write_text
from zoo.core.environment import environment
from zoo.core.extras import require
from zoo.core.tables import markdown
from zoo.training.loggers import kept_models

_NOTE = "mlflow_run.txt"
"""The file in the run's folder that stores the id of its MLflow run."""
_LOCAL = "local"
_ID = re.compile(r"[0-9a-f]{32}")


class MLFlowLogger(loggers.MLFlowLogger):
    """Lightning's MLflow logger, by default with a database in `outputs/` that all runs share.

    Args:
        save_dir: The run's folder.
        experiment_name: The MLflow experiment that the run belongs to.
        run_name: The name of the run in MLflow; null for the name of the run's folder.
        tracking_uri: A server or a database; `local` is `outputs/mlflow.db` in the current folder;
            null for the environment variable MLFLOW_TRACKING_URI, or `local` if it is not set.
        log_model: Whether to store the last and the best checkpoint as artifacts; `all` for every
            checkpoint.
        tags: Tags of the run in MLflow; null for those of the training.
        options: Further options of Lightning's logger.
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
        uri = _tracking_uri(tracking_uri)
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

        with _fewer_retries():
            experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            with contextlib.suppress(MlflowException):  # another process has created it meanwhile
                self.client.create_experiment(name, place)

    @staticmethod
    def uploads(settings: dict[str, Any]) -> bool:
        """Whether a logger with these settings would send its log to a server."""
        uri = _tracking_uri(settings.get("tracking_uri"))
        if uri.startswith("databricks"):  # the only server whose URI need not have a scheme
            return True
        return not (len(urlsplit(uri).scheme) < 2 or uri.startswith(("sqlite:", "file:")))

    def go_on(self, step: int, logged: int) -> None:
        """Continue the MLflow run of the run's folder."""
        from mlflow.exceptions import MlflowException

        note = self.folder / _NOTE
        run = note.read_text(encoding="utf-8", errors="replace").strip() if note.is_file() else ""
        if self._run_id is None and _ID.fullmatch(run):
            with contextlib.suppress(MlflowException):  # the run is in another database
                self.client.update_run(run, status="RUNNING")
                self._run_id = run

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log settings; those of a resumed run are kept, since MLflow does not let them change."""
        run = self.experiment.get_run(self.run_id)
        write_text(self.folder / _NOTE, f"{self.run_id}\n")
        flat = {k: v for k, v in _flat(dict(params)).items() if k not in run.data.params}
        super().log_hyperparams(flat)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Image.Image], step: int | None = None) -> None:
        """Log images, which MLflow shows with a slider over the steps."""
        for image in images:
            self.experiment.log_image(self.run_id, image, key=key, step=step or 0)

    @rank_zero_only
    def log_table(
        self, key: str, columns: list[str], data: list[list[Any]], step: int | None = None
    ) -> None:
        """Store a table as a Markdown file."""
        self.experiment.log_text(self.run_id, markdown(columns, data) + "\n", f"{key}.md")

    @rank_zero_only
    def log_file(self, name: str, file: Path, step: int | None = None) -> None:
        """Store a file as an artifact."""
        self.experiment.log_artifact(self.run_id, str(file))

    @rank_zero_only
    def log_checkpoint(self, file: Path, aliases: list[str], facts: dict[str, Any]) -> None:
        """Store a checkpoint as an artifact in the folder `checkpoints`."""
        self.experiment.log_artifact(self.run_id, str(file), "checkpoints")

    def summary(self) -> dict[str, str]:
        """Return where the log is, for the summary at the end of a training."""
        if not self.is_local:
            parts = urlsplit(self.uri)
            server = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            return {"MLflow": f"run {self.run_id} at {server}"}
        viewer = f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"
        return {"MLflow": f"run {self.run_id}; {viewer} (needs `pip install mlflow`)"}


def _fewer_retries() -> contextlib.AbstractContextManager[None]:
    """Give up on a server that does not answer after 6 seconds, instead of MLflow's 4 minutes."""
    retries = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    return environment(**{retries: os.environ.get(retries, "2")})


def _tracking_uri(tracking_uri: str | None) -> str:
    """Return the tracking URI: the option's, else the environment's, else `local`."""
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or _LOCAL


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries; keys are joined with slashes."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        flat |= _flat(value, f"{key}/") if isinstance(value, dict) else {key: value}
    return flat
