"""Abstract base classes of the interchangeable parts, and the records passed between them.

This package imports only `core`, `layers` and the registry: no concrete part, no Lightning, no
Hydra, and it reads no files. The rest of the zoo imports the base classes from here; plugins import
them from `zoo` itself: `from zoo import Loss, loss`.
"""
