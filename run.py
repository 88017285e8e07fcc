"""The command line: `python run.py model/loss=hinge`, `python run.py --help`."""

from __future__ import annotations

from zoo.cli.main import main

if __name__ == "__main__":
    main()
