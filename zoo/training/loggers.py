"""Loggers that keep one log when a run is resumed; W&B works without an account or network."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shlex
import socket
from collections.abc import Iterable, Iterator
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.loggers.logger import rank_zero_experiment
from PIL import Image
from pytorch_lightning import loggers
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only

from zoo.core.atomic import replacing
from zoo.core.errors import ZooError, shown
from zoo.core.extras import require
from zoo.core.foreign import read_lines, read_rows
from zoo.core.launch import is_first
from zoo.core.tables import markdown
from zoo.training.lightning_internals import (
    set_run_id,
    set_version,
    wandb_options,
    writer_options,
    written_version,
)

_PROJECT = re.compile(r"[^/\\#?%:]{1,128}")


class _Writer(ExperimentWriter):
    """Lightning's CSV writer, but it keeps an existing file and never leaves an incomplete row.

    If the disk is full, new rows that could not be written are removed again. A new header replaces
    the file atomically.
    """

    def save(self) -> None:
        self._note_size()
        try:
            super().save()
        except OSError:
            with contextlib.suppress(OSError):
                if self._size:
                    os.truncate(self.metrics_file_path, self._size)
                else:
                    os.unlink(self.metrics_file_path)
            raise

    def _note_size(self) -> None:
        file = Path(self.metrics_file_path)
        self._size = file.stat().st_size if file.is_file() else 0

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        file = Path(self.metrics_file_path)
        with file.open(encoding="utf-8", newline="") as lines:
            _write_rows(file, fieldnames, read_rows(read_lines(lines)))
        self._note_size()

    def _check_log_dir_exists(self) -> None:
        file = Path(self.log_dir) / self.NAME_METRICS_FILE
        if file.is_file():
            with file.open(encoding="utf-8", newline="") as lines:
                self.metrics_keys = next(csv.reader(lines), [])


class CSVLogger(loggers.CSVLogger):
    """Lightning's CSV logger, with a single `metrics.csv` even if the run is resumed.

    Args:
        save_dir: The run's folder.
        name: The name of the log's folder in the run's folder.
        version: The version of the log, a folder in that; null for the next number.
        prefix: A prefix of all metric names.
        flush_logs_every_n_steps: The number of rows to collect before they are written.
    """

    def __init__(
        self,
        save_dir: str,
        name: str = "csv",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, prefix, flush_logs_every_n_steps)

    @property
    @rank_zero_experiment
    def experiment(self) -> _Writer:
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return self._experiment  # type: ignore[return-value]

    def go_on(self, step: int, logged: int) -> None:
        """Continue the newest log, without the rows of steps that will be trained again.

        Args:
            step: The step of the checkpoint that is resumed.
            logged: The last step at which means over a whole window were logged. Later rows with
                means were written only because the training ended there.
        """
        version = _newest_version(Path(self.root_dir))
        if version is None or written_version(self) is not None:
            return
        set_version(self, version)
        if is_first():
            file = Path(self.log_dir) / _Writer.NAME_METRICS_FILE
            try:
                _cut(file, step, logged)
            except ValueError as error:
                raise ZooError(
                    f"the log {file} cannot be continued ({error}): move it elsewhere."
                ) from error
            self._experiment = _Writer(self.log_dir)


class TensorBoardLogger(loggers.TensorBoardLogger):
    """Lightning's TensorBoard logger, with a single log even if the run is resumed.

    Args:
        save_dir: The run's folder.
        name: The name of the log's folder in the run's folder.
        options: Further options of Lightning's logger.
    """

    def __init__(self, save_dir: str, name: str = "tensorboard", **options: Any) -> None:
        require("tensorboard", "logger=tensorboard", "tensorboard")
        super().__init__(save_dir, name, **options)

    @rank_zero_only
    def log_image(self, key: str, images: list[Image.Image], step: int | None = None) -> None:
        """Log images, which TensorBoard shows with a slider over the steps."""
        from torchvision.transforms.functional import pil_to_tensor

        for image in images:
            self.experiment.add_image(key, pil_to_tensor(image), step)

    @rank_zero_only
    def log_table(
        self, key: str, columns: list[str], data: list[list[Any]], step: int | None = None
    ) -> None:
        """Log a table as Markdown text."""
        self.experiment.add_text(key, markdown(columns, data), step)

    def go_on(self, step: int, logged: int) -> None:
        """Continue the newest log; TensorBoard drops the steps that will be trained again.

        It cannot drop single curves of a step. The means over an incomplete window with which the
        training ended are therefore kept, together with the other metrics of that step.
        """
        version = _newest_version(Path(self.root_dir))
        if version is not None and written_version(self) is None:
            set_version(self, version)
            writer_options(self)["purge_step"] = step + 1


def _newest_version(folder: Path) -> int | None:
    """Return the largest N among the folders `version_N` of a log."""
    numbers = [p.name.removeprefix("version_") for p in folder.glob("version_*")]
    return max((int(n) for n in numbers if n.isdecimal()), default=None)


def _cut(file: Path, step: int, logged: int) -> None:
    """Remove the rows that a resumed training will write again, and an incomplete last row."""
    if not file.is_file():
        return

    def stays(row: dict[str, str]) -> bool:
        number = row.get("step") or ""
        means = bool(row.get("images_per_second"))
        return number.isdecimal() and int(number) <= (logged if means else step)

    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 1))
        whole = opened.read() == b"\n"
    with _rows_of(file) as rows:
        first = next(rows, None)
        unchanged = whole and first is not None and stays(first) and all(map(stays, rows))
    if first is None:  # at most a header
        file.unlink()
    elif not unchanged:
        names = [key for key in first if key is not None]
        with _rows_of(file) as rows:
            remaining = ({name: row[name] for name in names} for row in rows if stays(row))
            _write_rows(file, names, remaining)


@contextlib.contextmanager
def _rows_of(file: Path) -> Iterator[Iterator[dict[str, str]]]:
    """Open a log and iterate over its complete rows."""
    with file.open(encoding="utf-8", errors="replace", newline="") as opened:
        yield read_rows(line for line in read_lines(opened) if line.endswith("\n"))


def _write_rows(file: Path, names: list[str], rows: Iterable[dict[str, Any]]) -> None:
    with replacing(file) as partial, partial.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


class WandbLogger(loggers.WandbLogger):
    """Lightning's W&B logger, which logs offline if nothing can be uploaded.

    Args:
        save_dir: The run's folder; everything is written to `wandb/` inside it.
        project: The name of the W&B project.
        offline: Whether to log offline; null does so if there is no API key or the server cannot be
            reached.
        tags: Tags of the run in W&B; null for those of the training.
        log_model: Whether to store the last and the best checkpoint as artifacts; `all` for every
            checkpoint.
        options: Further options of Lightning's logger.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "gan-zoo",
        offline: bool | None = None,
        tags: list[str] | None = None,
        log_model: bool | Literal["all"] = False,
        **options: Any,
    ) -> None:
        if not _PROJECT.fullmatch(project):
            raise ZooError(
                f"logger.wandb.project={project} is not a valid project name: W&B takes 1 to 128 "
                "characters other than / \\ # ? % :"
            )
        self.why_offline = reason_to_stay_offline()
        if offline is False and self.why_offline:
            raise ZooError(
                f"logger.wandb.offline=false is not possible, because {self.why_offline}; leave it "
                "out to log offline and upload later."
            )
        if offline:
            self.why_offline = "offline=true was set"
        self.keeps_models = kept_models("logger.wandb", log_model)
        Path(save_dir).mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")
        super().__init__(
            save_dir=save_dir,
            project=project,
            offline=bool(self.why_offline),
            tags=tags or None,
            **options,
        )
        wandb_options(self).pop("anonymous", None)  # an option that W&B no longer supports

    @staticmethod
    def uploads(settings: dict[str, Any]) -> bool:
        """Whether a logger with these settings would send its log to a server."""
        return not settings.get("offline") and not reason_to_stay_offline()

    def go_on(self, step: int, logged: int) -> None:
        """Continue the W&B run of the newest log in the run's folder."""
        folders = (Path(str(self.save_dir)) / "wandb").glob("*run-*-*")
        runs = [p for p in folders if p.is_dir() and re.fullmatch(r"[\w-]+", p.name)]
        if runs and wandb_options(self)["id"] is None:
            newest = max(runs, key=lambda p: p.stat().st_mtime)
            set_run_id(self, newest.name.rpartition("-")[2])

    @rank_zero_only
    def log_file(self, name: str, file: Path, step: int | None = None) -> None:
        """Log a GIF or MP4 as a video, and any other file unchanged."""
        if file.suffix in (".gif", ".mp4"):
            self.log_video(name, [str(file)], step, format=[file.suffix[1:]])
        else:
            self.experiment.save(str(file), base_path=str(file.parent), policy="now")

    @rank_zero_only
    def log_checkpoint(self, file: Path, aliases: list[str], facts: dict[str, Any]) -> None:
        """Store a checkpoint as a new version of the run's model artifact."""
        import wandb

        artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model", metadata=facts)
        artifact.add_file(str(file), name="model.ckpt")
        self.experiment.log_artifact(artifact, aliases=aliases)

    def summary(self) -> dict[str, str]:
        """Return where the log is, for the summary at the end of a training."""
        return {"W&B": self.sync_hint()}

    def sync_hint(self) -> str:
        """Return the log's address, or if it is offline, how to upload it."""
        folder = shown(Path(self.experiment.dir).parent)
        if not self.why_offline:
            return str(self.experiment.url or folder)
        upload = f"wandb sync {shlex.quote(folder)}"
        return f"logged offline, because {self.why_offline}; upload with: {upload}"


def kept_models(place: str, log_model: bool | Literal["all"]) -> bool | Literal["all"]:
    """Check and return a logger's option `log_model`.

    Args:
        place: The logger's section in the configuration, for the message.
        log_model: False for no checkpoints, True for the last and the best one, `all` for all.

    Raises:
        ZooError: `log_model` is none of these.
    """
    if log_model not in (True, False, "all"):
        raise ZooError(f"{place}.log_model={log_model} must be true, false or all.")
    return log_model


def reason_to_stay_offline(host: str = "api.wandb.ai", timeout: float = 2.0) -> str:
    """Return a clause that says why W&B cannot be used online; empty if it can."""
    mode = os.environ.get("WANDB_MODE")
    if mode in ("offline", "disabled", "dryrun"):
        return f"WANDB_MODE is {mode}"
    if not os.environ.get("WANDB_API_KEY") and not _has_login(host):
        return "there is no W&B account on this machine (see: wandb login)"
    try:
        with socket.create_connection((host, 443), timeout):
            return ""
    except OSError:
        return f"{host} cannot be reached"


def _has_login(host: str) -> bool:
    try:
        return netrc().authenticators(host) is not None
    except (OSError, NetrcParseError):
        return False
