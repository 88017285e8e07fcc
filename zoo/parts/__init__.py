"""The zoo's own parts: one file per part and one folder per kind. README.md says how to add one.

Parts may import contracts, layers, core and the registry's decorators, but not Lightning or Hydra,
and they read no files. They are created through `zoo.create`; one part imports another only where
the two share a formula.
"""
