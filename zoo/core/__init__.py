"""Utilities that are independent of GANs: errors, atomic files, tables, processes, random numbers.

This is the lowest layer: it imports nothing else from the zoo, and every other package may import
it. Its `ZooError` is the error that all of the zoo raises for wrong input.
"""
