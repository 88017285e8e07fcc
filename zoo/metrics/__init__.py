"""Feature networks and sample-quality metrics, the protocols of their figures, their results.

Imports inference, data, contracts and all below them, and no training.
From outside, `evaluate.evaluate` measures, `protocol.Result` holds what came out; features and
scores are made by `zoo.create`.
"""
