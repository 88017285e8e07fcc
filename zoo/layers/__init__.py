"""Blocks that several networks share, and the arithmetic that they have in common.

Imports core only: a layer knows no part and no contract.
Parts, and plugins too, import whichever file they need.
"""
