"""The command `python -m zoo`, equivalent to `gan-zoo`, and to `python run.py` in a clone."""

from zoo.cli.main import main

if __name__ == "__main__":
    main()
