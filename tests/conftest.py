"""Fixtures for several test files: checkpoints, float64, Adam implementations, no network."""

from __future__ import annotations

import urllib.request

import pytest
import torch
from helpers import make_checkpoint

from zoo.training import optimizers


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """A checkpoint of a class-conditional DCGAN in a run's folder."""
    return make_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def plain_ckpt(tmp_path_factory):
    """A checkpoint of an unconditional DCGAN without EMA weights, outside a run's folder."""
    return make_checkpoint(
        tmp_path_factory.mktemp("plain") / "plain.ckpt", num_classes=0, channels=3, ema=False
    )


@pytest.fixture
def float64():
    """Make networks and random numbers float64, for tests that two computations agree.

    In float32, they would differ by the rounding of the processor's kernels (oneDNN uses different
    convolutions with AVX-512 and AVX2), and a tolerance for that could hide a wrong formula.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(params=["fused", "plain"])
def each_adam(request, monkeypatch):
    """Run a test once with fused Adam and once without.

    Fused Adam changes weights without increasing their version counters, so that a stale graph
    would silently give wrong gradients; without it, autograd raises an error.
    """
    if request.param == "plain":
        monkeypatch.setattr(optimizers, "_FUSED_DEVICES", ())


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Disable network connections, and hide files that were downloaded before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # `urlopen` would keep using the proxies of its first call, also in later tests.
    monkeypatch.setattr(urllib.request, "_opener", None)
