"""What the processor or the GPU can compute."""

from __future__ import annotations

import torch

_BF16 = ("avx512_bf16", "avx10_2", "amx_bf16", "bf16", "sve_bf16")
"""The instructions for bf16 of x86 and ARM, by torch's names."""


def emulates_bf16(device: torch.device) -> bool:
    """Whether a processor or an NVIDIA GPU has no instructions for bf16, so that it is slow.

    On a processor limited to AVX2, a step of DCGAN takes four times as long as in fp32, on one
    limited to AVX-512 without bf16 one and a half times (AMD EPYC, torch 2.15).
    """
    if device.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return device.type == "cpu" and not any(has.get(name) for name in _BF16)
