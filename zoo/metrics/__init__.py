"""Sample-quality metrics, the feature networks they use, and results with their protocols.

This package imports `zoo.inference`, `zoo.data`, `zoo.contracts` and the layers below them, but
not `zoo.training`. `evaluate.evaluate` measures a generator and returns a `protocol.Result`;
feature networks and metrics are created with `zoo.create`.
"""
