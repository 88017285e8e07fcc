"""Data modules, in-memory loading, resumable sampling, and the cache of decoded pictures.

This package imports only `zoo.core`, `zoo.registry` and Lightning's `LightningDataModule`.
Training and metrics work with `base.DataModule`; the data sets in `sets/` are created with
`zoo.create("datamodule", …)` rather than imported.
"""
