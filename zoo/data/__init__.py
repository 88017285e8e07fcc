"""Data modules, in-memory loading, the resumable sampler, the cache of decoded pictures.

Imports core and the registry, and of Lightning its LightningDataModule.
From outside, `base.DataModule` is what trainings and metrics work on; the sets in `sets/` are made
by `zoo.create("datamodule", …)` and not imported.
"""
