"""The command line: `python run.py model/loss=hinge`, `python run.py --help`."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from zoo.cli.main import main, run_job


@hydra.main(version_base="1.3", config_path="configs", config_name="config")
def run(config: DictConfig) -> None:
    run_job(config)


if __name__ == "__main__":
    main(run)
