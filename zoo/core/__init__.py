"""What knows nothing of GANs: errors, version, extras, atomic files, tables, processes, randoms.

The lowest room: it imports nothing of the zoo.
Everything else may import any file of it, and raises its `ZooError`.
"""
