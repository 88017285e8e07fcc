"""Base classes of the interchangeable parts, one file each, and the records that pass between them.

Imports core and layers only: contracts know no parts, no Lightning, no Hydra and no files.
What a plugin needs is handed on by `zoo` itself: `from zoo import Loss, loss`.
"""
