"""Weights & Biases without an account or a network: offline, and with the command to upload."""

from __future__ import annotations

import os
import shlex
import socket
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any

from pytorch_lightning import loggers


class WandbLogger(loggers.WandbLogger):
    """Lightning's logger, offline where nothing could be uploaded.

    Args:
        save_dir: the run's folder; everything is written to `wandb/` inside it.
        project: as shown by W&B.
        offline: null finds out by looking for an API key and reaching the server.
        options: all others of Lightning's logger.
    """

    def __init__(
        self, save_dir: str, project: str = "gan-zoo", offline: bool | None = None, **options: Any
    ) -> None:
        self.why_offline = "" if offline is False else reason_to_stay_offline()
        if offline:
            self.why_offline = "it was asked to"
        Path(save_dir).mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("WANDB_SILENT", "true")
        super().__init__(
            save_dir=save_dir, project=project, offline=bool(self.why_offline), **options
        )

    def sync_hint(self) -> str:
        """Where the log is, and how to upload one that was written offline."""
        folder = Path(self.experiment.dir).parent
        if not self.why_offline:
            return str(self.experiment.url or folder)
        upload = f"wandb sync {shlex.quote(str(folder))}"
        return f"logged offline, because {self.why_offline}; upload with: {upload}"


def reason_to_stay_offline(host: str = "api.wandb.ai", timeout: float = 2.0) -> str:
    """Why W&B cannot be reached from here, or the empty string."""
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
