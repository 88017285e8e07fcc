# ruff: noqa
from zoo.contracts.update import Update, full_precision, widen
