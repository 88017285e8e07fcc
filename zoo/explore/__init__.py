"""Pictures that show what a generator learned, the reports that hold them, the local page.

Imports metrics, inference and all below them, and no training.
From outside, tasks call `report`, `compare`, `sections`, and the page of `serve/`.
"""
