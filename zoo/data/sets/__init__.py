"""The data sets: one file per data module, created with `zoo.create`."""
