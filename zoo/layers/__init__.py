"""Layers and blocks that several networks share, and their arithmetic.

Imports core only: layers know neither parts nor contracts. Parts and plugins import the file that
they need.
"""
