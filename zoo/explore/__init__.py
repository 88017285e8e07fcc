"""Plots and image grids that show what a generator has learned, reports, and a local web page.

This package imports `zoo.metrics`, `zoo.inference` and the layers below them, but not
`zoo.training`. Tasks use its modules `report`, `compare` and `sections`, and the web page in
`serve/`.
"""
