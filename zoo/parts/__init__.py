"""The parts, one file each, in a folder for each kind; README.md says how to add one.

Imports contracts, layers, core and the registry's decorators, and no Lightning, Hydra or files.
Parts are made by `zoo.create`, and imported by another part only where they share a formula.
"""
