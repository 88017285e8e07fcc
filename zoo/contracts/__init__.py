"""Base classes of the interchangeable parts, one file each, and the records that pass between them.

Imports core, layers and the registry: contracts know no parts, no Lightning, no Hydra and no files.
Anything above takes its base classes from here; a plugin takes them from `zoo` itself:
`from zoo import Loss, loss`.
"""
