"""`python -m zoo`, the same as `gan-zoo`, and as `python run.py` in a clone."""

from zoo.cli.main import main

if __name__ == "__main__":
    main()
