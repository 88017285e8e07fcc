"""Data sets: one file per data module, made by `zoo.create`."""
