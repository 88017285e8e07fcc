"""Classification and contrastive losses that heads add to the adversarial loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contracts.update import widen
from zoo.core.distributed import gather_with_gradient, own_place
from zoo.layers.precision import full_precision


def cross_entropy(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy of class logits (N, K), computed in fp32 at least.

    Args:
        logits: class logits (N, K).
        y: labels (N,).
        smoothing: label smoothing as in Szegedy et al. (2016), arXiv:1512.00567.
    """
    return F.cross_entropy(widen(logits), y, label_smoothing=smoothing)


def class_hinge(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean over wrong classes k of relu(1 - l_y + l_k): D's loss in hinge form."""
    return _over_wrong(F.relu(1 + _leads(logits, y)), y)


def class_lead(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean over wrong classes k of l_k - l_y: G's loss in hinge form."""
    return _over_wrong(_leads(logits, y), y)


def _leads(logits: Tensor, y: Tensor) -> Tensor:
    """Return l_k - l_y for each class k, (N, K)."""
    logits = widen(logits)
    return logits - logits.gather(1, y[:, None])


def _over_wrong(values: Tensor, y: Tensor) -> Tensor:
    classes = values.shape[1]
    wrong = torch.arange(classes, device=y.device) != y[:, None]
    return (values * wrong).sum() / (len(values) * max(classes - 1, 1))


def crammer_singer(logits: Tensor, y: Tensor) -> Tensor:
    """Return the mean of relu(1 + max over k other than y of l_k - l_y), for logits (N, K)."""
    logits = widen(logits)
    own = torch.arange(logits.shape[1], device=y.device) == y[:, None]
    best = logits.masked_fill(own, -torch.inf).amax(1)
    return F.relu(1 + best - logits.gather(1, y[:, None]).squeeze(1)).mean()


def contrastive_2c(embedding: Tensor, proxy: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return ContraGAN's conditional contrastive loss (2C), against the images of all processes.

    -mean_i log{[exp(<e_i, p_i>/t) + sum over j of i's class exp(<e_i, e_j>/t)] /
    [exp(<e_i, p_i>/t) + sum over all j exp(<e_i, e_j>/t)]}, j other than i.

    Args:
        embedding: e, (N, E).
        proxy: p_i, the embedding of each image's label, (N, E).
        y: labels (N,).
        temperature: t.
    """
    with full_precision(embedding.device):
        own, others, own_labels, labels, self_pair = _pairs(embedding, proxy, y)
        to_proxy = own[:, None] / temperature
        to_images = (others / temperature).masked_fill(self_pair, -torch.inf)
        same_class = to_images.masked_fill(own_labels[:, None] != labels, -torch.inf)
        numerator = torch.cat((to_proxy, same_class), 1).logsumexp(1)
        denominator = torch.cat((to_proxy, to_images), 1).logsumexp(1)
        return (denominator - numerator).mean()


def cross_entropy_d2d(
    embedding: Tensor, proxy: Tensor, y: Tensor, temperature: float, margin: float
) -> Tensor:
    """Return ReACGAN's data-to-data cross entropy, against the images of all processes.

    -mean_i log{exp(min(q_i - m, 0)/t) / [exp(min(q_i - m, 0)/t) + sum over j of other classes
    exp(max(s_ij - 1 + m, 0)/t)]}, with q_i = <e_i, p_i> and s_ij = <e_i, e_j>. The log-sum-exp
    covers the whole denominator; public code shifts only the negatives, which gives another loss.

    Args:
        embedding, proxy, y, temperature: as in `contrastive_2c`.
        margin: m; positives above m and negatives below 1 - m give no gradient.
    """
    with full_precision(embedding.device):
        own, others, own_labels, labels, _ = _pairs(embedding, proxy, y)
        positive = (own - margin).clamp(max=0)[:, None] / temperature
        negative = (others - (1 - margin)).clamp(min=0) / temperature
        negative = negative.masked_fill(own_labels[:, None] == labels, -torch.inf)
        return (torch.cat((positive, negative), 1).logsumexp(1) - positive.squeeze(1)).mean()


def _pairs(
    embedding: Tensor, proxy: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compare each image with its own proxy and with the images of all processes.

    Returns:
        Inner products with the own proxy (N,) and with all A images (N, A), the labels of this
        process (N,) and of all images (A,), and a mask (N, A) of the pairs of an image with itself.
    """
    embedding, proxy = widen(embedding), widen(proxy)
    gathered, labels = gather_with_gradient(embedding), gather_with_gradient(y)
    rows = own_place(len(y)) + torch.arange(len(y), device=y.device)
    same = rows[:, None] == torch.arange(len(labels), device=y.device)
    return (embedding * proxy).sum(1), embedding @ gathered.T, y, labels, same
