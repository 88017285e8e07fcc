"""Losses of classifiers and of embeddings that heads put beside the adversarial one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.contracts.update import full_precision, widen
from zoo.core.distributed import gather_with_gradient, own_place


def cross_entropy(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of class logits (N, K) in fp32 at least; smoothing as Szegedy et al."""
    return F.cross_entropy(widen(logits), y, label_smoothing=smoothing)


def class_hinge(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over wrong classes k of relu(1 - l_y + l_k): what D pays in hinge form."""
    return _over_wrong(F.relu(1 + _leads(logits, y)), y)


def class_lead(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over wrong classes k of l_k - l_y: what G pays in hinge form."""
    return _over_wrong(_leads(logits, y), y)


def _leads(logits: Tensor, y: Tensor) -> Tensor:
    """l_k - l_y, (N, K)."""
    logits = widen(logits)
    return logits - logits.gather(1, y[:, None])


def _over_wrong(values: Tensor, y: Tensor) -> Tensor:
    classes = values.shape[1]
    wrong = torch.arange(classes, device=y.device) != y[:, None]
    return (values * wrong).sum() / (len(values) * max(classes - 1, 1))


def crammer_singer(logits: Tensor, y: Tensor) -> Tensor:
    """Mean of relu(1 + max over k other than y of l_k - l_y), for logits (N, K)."""
    logits = widen(logits)
    own = torch.arange(logits.shape[1], device=y.device) == y[:, None]
    best = logits.masked_fill(own, -torch.inf).amax(1)
    return F.relu(1 + best - logits.gather(1, y[:, None]).squeeze(1)).mean()


def contrastive_2c(embedding: Tensor, proxy: Tensor, y: Tensor, temperature: float) -> Tensor:
    """The conditional contrastive loss of ContraGAN, against the images of all processes.

    -mean_i log{[exp(<e_i, p_i>/t) + sum over j of i's class exp(<e_i, e_j>/t)] /
    [exp(<e_i, p_i>/t) + sum over all j exp(<e_i, e_j>/t)]}, j other than i.

    Args:
        embedding: e, (N, E).
        proxy: p_i, the embedding of each image's label, (N, E).
        y: labels (N,).
        temperature: t.
    """
    with full_precision(embedding.device):
        own, others, mine, labels, self_pair = _pairs(embedding, proxy, y)
        to_proxy = own[:, None] / temperature
        to_images = (others / temperature).masked_fill(self_pair, -torch.inf)
        of_class = to_images.masked_fill(mine[:, None] != labels, -torch.inf)
        numerator = torch.cat((to_proxy, of_class), 1).logsumexp(1)
        denominator = torch.cat((to_proxy, to_images), 1).logsumexp(1)
        return (denominator - numerator).mean()


def cross_entropy_d2d(
    embedding: Tensor, proxy: Tensor, y: Tensor, temperature: float, margin: float
) -> Tensor:
    """The data-to-data cross entropy of ReACGAN, against the images of all processes.

    -mean_i log{exp(min(q_i - m, 0)/t) / [exp(min(q_i - m, 0)/t) + sum over j of other classes
    exp(max(s_ij - 1 + m, 0)/t)]}, with q_i = <e_i, p_i> and s_ij = <e_i, e_j>. By log-sum-exp of
    the whole denominator; public code shifts the negatives alone, which is another loss.

    Args:
        embedding, proxy, y, temperature: as of `contrastive_2c`.
        margin: m: positives above it and negatives below 1 - m give no gradient.
    """
    with full_precision(embedding.device):
        own, others, mine, labels, _ = _pairs(embedding, proxy, y)
        positive = (own - margin).clamp(max=0)[:, None] / temperature
        negative = (others - (1 - margin)).clamp(min=0) / temperature
        negative = negative.masked_fill(mine[:, None] == labels, -torch.inf)
        return (torch.cat((positive, negative), 1).logsumexp(1) - positive.squeeze(1)).mean()


def _pairs(
    embedding: Tensor, proxy: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Products with the own proxy (N,) and with all images (N, A); labels of both; where i is j."""
    embedding, proxy = widen(embedding), widen(proxy)
    everybody, labels = gather_with_gradient(embedding), gather_with_gradient(y)
    rows = own_place(len(y)) + torch.arange(len(y), device=y.device)
    same = rows[:, None] == torch.arange(len(labels), device=y.device)
    return (embedding * proxy).sum(1), embedding @ everybody.T, y, labels, same
