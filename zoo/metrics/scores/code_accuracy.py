"""A metric of how well a categorical latent code corresponds to the classes of the data."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zoo.metrics.comparison import Comparison
from zoo.metrics.scores.base import Metric, logits_of, note_classes
from zoo.registry import metric


@metric("code_accuracy")
class CodeAccuracy(Metric):
    """Share of images whose class is the one that their code is matched with.

    Paper: Chen et al. (2016), arXiv:1606.03657.

    The class of a generated image is the one that the classifier assigns to it. Values of the code
    and classes are matched one to one so that the share is as high as possible. Of several
    categorical codes, the best counts. In the paper, Q predicts the codes of real images instead.
    """

    figures = ("code_accuracy",)
    needs = ("logits", "classes", "latent_codes")
    higher_is_better = ("code_accuracy",)
    order = 75

    def __call__(self, data: Comparison) -> dict[str, float]:
        assert data.codes is not None  # see `check_metrics`
        predicted = logits_of(data).argmax(dim=1)
        note_classes(data, "The code's accuracy")
        matches = [matched_share(values, predicted) for values in data.codes.unbind(dim=1)]
        share, pairs = max(matches, key=lambda match: match[0])
        names = data.reference.class_names
        listed = ", ".join(f"{value}: {names[c] if names else c}" for value, c in pairs)
        data.notes.append(f"Values of the code and their classes: {listed}.")
        return {"code_accuracy": share}


def matched_share(values: Tensor, classes: Tensor) -> tuple[float, list[tuple[int, int]]]:
    """Find the one-to-one matching of values and classes that fits the most images.

    Args:
        values: the value of the code of each image, int64 (N,).
        classes: the class of each image, int64 (N,).

    Returns:
        The share of images whose value and class are matched, and the matched pairs.
    """
    shape = int(values.max()) + 1, int(classes.max()) + 1
    counts = torch.zeros(shape, dtype=torch.int64)
    counts.index_put_((values, classes), torch.ones_like(values), accumulate=True)
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    pairs = [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]
    return int(counts[rows, columns].sum()) / len(values), pairs
