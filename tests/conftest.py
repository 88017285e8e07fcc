"""What several test files share: checkpoints to read, and double precision to compare in."""

from __future__ import annotations

import urllib.request

import pytest
import torch
from helpers import make_checkpoint

from zoo.training import optimizers


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def plain_ckpt(tmp_path_factory):
    return make_checkpoint(
        tmp_path_factory.mktemp("plain") / "plain.ckpt", num_classes=0, channels=3, ema=False
    )


@pytest.fixture
def float64():
    """Networks and random numbers are float64, for tests that two ways compute the same.

    In float32 the two differ by what the processor's kernels do (oneDNN takes other convolutions
    with AVX-512 than with AVX2), and a bound on that says nothing of the formula.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(params=["fused", "plain"])
def each_adam(request, monkeypatch):
    """Once with fused Adam, once without, which raises where a graph outlives its weights.

    Fused Adam changes weights without raising their version counters, so that a stale graph would
    give wrong gradients in silence.
    """
    if request.param == "plain":
        monkeypatch.setattr(optimizers, "_FUSED_DEVICES", ())


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No way out, whatever network the machine has, and nothing fetched before."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # `urlopen` keeps the proxies of its first use, in the tests after this one too.
    monkeypatch.setattr(urllib.request, "_opener", None)
