"""How well a categorical code of the latent names the classes of the data."""

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

    The class is what the classifier sees in a generated image, and the matching, one class for each
    value of the code and one value for each class, is the best there is. Of several categorical
    codes the one that fits best counts. The paper instead has Q read the codes of real images.
    """

    figures = ("code_accuracy",)
    needs = ("logits", "classes", "latent_codes")
    higher_is_better = ("code_accuracy",)
    order = 75

    def __call__(self, data: Comparison) -> dict[str, float]:
        assert data.codes is not None  # see `check_metrics`
        read = logits_of(data).argmax(dim=1)
        note_classes(data, "The code's accuracy")
        found = [matched_share(values, read) for values in data.codes.unbind(dim=1)]
        share, pairs = max(found, key=lambda one: one[0])
        names = data.reference.class_names
        listed = ", ".join(f"{value}: {names[c] if names else c}" for value, c in pairs)
        data.notes.append(f"Values of the code and their classes: {listed}.")
        return {"code_accuracy": share}


def matched_share(values: Tensor, classes: Tensor) -> tuple[float, list[tuple[int, int]]]:
    """The share of images (N,) whose value and class are a pair of the best one-to-one matching.

    Returns:
        The share, and the pairs of value and class.
    """
    shape = int(values.max()) + 1, int(classes.max()) + 1
    counts = torch.zeros(shape, dtype=torch.int64)
    counts.index_put_((values, classes), torch.ones_like(values), accumulate=True)
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    pairs = [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]
    return int(counts[rows, columns].sum()) / len(values), pairs
