"""Use trained generators: load them from files, sample, project, export and publish.

This package imports contracts, data, layers, registry and core, but neither training nor metrics.
Other packages call `load.load`, which returns a `LoadedGenerator` with all further methods; users
call `zoo.load`.
"""
