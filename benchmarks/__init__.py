"""Benchmarks of the zoo against plain PyTorch: `python -m benchmarks`, `pytest --benchmark`."""
