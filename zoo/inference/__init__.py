"""From a trained network's file to images: load, sample, export, publish.

Imports contracts, data, layers, registry and core: a checkpoint needs no training and no metrics.
From outside, `load.load` gives a `LoadedGenerator`, which does the rest; users take `zoo.load`.
"""
