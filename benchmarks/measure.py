"""Interleaved measurements: all contenders run in each round, so that noise affects all alike."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import flop_registry

from zoo.core.errors import ZooError
from zoo.core.processor import emulates_bf16
from zoo.core.torch_internals import DispatchMode
from zoo.layers.product import linear, onednn_has_products

ROOT = Path(__file__).resolve().parent.parent
STATUS = Path("/proc/self/status")
"""The file in which Linux reports the memory of this process."""
MAKERS = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}
"""The manufacturers of processors by their name in /proc/cpuinfo."""


@dataclass(frozen=True)
class Timing:
    """The seconds per call of one contender in each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the seconds per call."""
        return statistics.median(self.seconds)

    def speedup(self, baseline: Timing) -> float:
        """Return the speed-up over `baseline`, the median of the ratios within each round."""
        return statistics.median(b / s for s, b in zip(self.seconds, baseline.seconds, strict=True))


def timed(function: Callable[[], object], iterations: int, device: torch.device) -> float:
    """Return the seconds per call; on CUDA, measured with events between idle states."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(iterations):
            function()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / iterations
    before = time.perf_counter()
    for _ in range(iterations):
        function()
    return (time.perf_counter() - before) / iterations


def iterations_for(seconds: float, least: float = 0.05) -> int:
    """Return the number of calls that take at least `least` seconds, enough for the clock."""
    return max(1, round(least / max(seconds, 1e-9)))


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int = 15,
    budget: float = 60.0,
    warmup: int = 2,
) -> dict[str, Timing]:
    """Time all contenders in turn, for several rounds.

    Args:
        contenders: the functions to time.
        device: the device that they use.
        rounds: the number of rounds; each starts with the next contender.
        budget: the seconds after which no further round starts, but at least three are run.
        warmup: the number of calls of each function before it is timed.
    """
    iterations = {}
    for name, function in contenders.items():
        for _ in range(warmup):
            function()
        iterations[name] = iterations_for(timed(function, 1, device))
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    end = time.perf_counter() + budget
    for turn in range(rounds):
        if turn >= 3 and time.perf_counter() > end:
            break
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(timed(contenders[name], iterations[name], device))
    return {name: Timing(tuple(s)) for name, s in seconds.items()}


def peak_flops(device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Measure the peak FLOP/s as the faster of a large matrix product and a large convolution.

    On some processors, different libraries compute the two, so that a share of the slower one could
    exceed 100 %. On CUDA, fp32 is measured in TF32 if that is allowed for convolutions (the
    default).
    """
    n = 2048 if device.type == "cpu" else 8192
    size, width = (32, 128) if device.type == "cpu" else (64, 512)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    maps = torch.randn(32, width, size, size, device=device, dtype=dtype)
    kernel = torch.randn(width, width, 3, 3, device=device, dtype=dtype)
    maps, kernel = (t.to(memory_format=torch.channels_last) for t in (maps, kernel))
    probes: list[tuple[Callable[[], object], float]] = [
        (lambda: linear(a, b), 2 * n**3),
        (lambda: F.conv2d(maps, kernel, padding=1), 2 * 9 * width * maps.numel()),
    ]
    usual = torch.get_float32_matmul_precision()
    if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        torch.set_float32_matmul_precision("high")
    try:
        rates = []
        for probe, operations in probes:
            probe()
            rates.append(operations / min(timed(probe, 1, device) for _ in range(7)))
        return max(rates)
    finally:
        torch.set_float32_matmul_precision(usual)


def _product_flops(x: Any, weight: Any, *rest: Any, out_val: Any) -> int:
    """Return the operations of oneDNN's matrix product, for which torch has no formula."""
    return 2 * x.numel() * weight.shape[0]


def _convolution_backward_flops(
    gradient: Any, x: Any, weight: Any, *rest: Any, out_val: Any
) -> int:
    """Return the operations of a convolution's backward pass.

    Each gradient needs as many as the forward pass. torch's own formula ignores groups.
    """
    transposed, wanted = rest[4], rest[7]
    each = 2 * (x if transposed else gradient).numel() * weight[0].numel()
    return each * (wanted[0] + wanted[1])


_FORMULAS = dict(flop_registry)
_FORMULAS[torch.ops.aten.convolution_backward] = _convolution_backward_flops
if onednn_has_products():
    _FORMULAS[torch.ops.mkldnn._linear_pointwise] = _product_flops


class _Flops(DispatchMode):
    """A counter of the operations for which there are formulas.

    torch's own `FlopCounterMode` also tracks modules, with hooks that prevent second derivatives.
    """

    total = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        count = _FORMULAS.get(operation._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def flops(function: Callable[[], object]) -> int:
    """Count the floating-point operations of matrix products and convolutions in a call."""
    with _Flops() as counter:
        function()
    return counter.total


def kind_of(device: torch.device) -> str:
    """Return the kind of processor, for each of which there is a report: `cpu-avx2`, `cuda`, …

    With AVX-512, the manufacturer matters as well: MKL uses AVX2 on AMD's processors, and few other
    processors compute bf16 fast.
    """
    if device.type != "cpu":
        return device.type
    vectors = torch.backends.cpu.get_cpu_capability().lower().replace(" ", "-")
    kind = f"cpu-{vectors}{'-bf16' * (not emulates_bf16(device))}"
    maker = MAKERS.get(_cpuinfo("vendor_id"), "")
    return f"{kind}-{maker}" if maker and "avx512" in vectors else kind


def _cpuinfo(field: str) -> str:
    """Return a field of the first processor in Linux's /proc/cpuinfo; empty if there is none."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return ""
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == field), "")


def machine(device: torch.device) -> dict[str, object]:
    """Describe the machine, the versions of the software, and the date."""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def machines_in_words(rows: Iterable[Mapping[str, Any]]) -> str:
    """Describe the distinct machines in the entries `machine` of rows, with the threads used."""
    found = dict.fromkeys(
        f"{_device(m)}{m['processor']}, {m['threads']} thread{'s' * (m['threads'] > 1)}, "
        f"torch {m['torch']}, Python {m['python']}, {m['date']}"
        for m in (row["machine"] for row in rows)
    )
    return "; ".join(found)


def _device(machine: Mapping[str, Any]) -> str:
    return "" if machine["device"] == "cpu" else f"{machine['device']}, "


def resident(field: Literal["VmRSS", "VmHWM"]) -> int:
    """Return the bytes of memory of this process, now (`VmRSS`) or at its peak (`VmHWM`).

    They are read from Linux's /proc, since `getrusage` inherits the peak of the parent process.

    Raises:
        ZooError: the system is not Linux.
    """
    if not STATUS.exists():
        raise ZooError(f"memory can only be measured on Linux: there is no {STATUS}.")
    status = STATUS.read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def child(
    command: list[str], timeout: float = 600.0, **environment: str
) -> tuple[float, float, str]:
    """Run a command in the repository.

    Args:
        command: the command and its arguments.
        timeout: the most seconds that it may take.
        environment: variables to add to the environment.

    Returns:
        Its CPU seconds (NaN on Windows, which does not count those of child processes), its wall
        seconds, and its output.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    before, start = _cpu_of_children(), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
    )
    wall = time.perf_counter() - start
    return _cpu_of_children() - before, wall, done.stdout


def _cpu_of_children() -> float:
    try:
        import resource
    except ImportError:
        return math.nan
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peak_memory(card: str, contender: str, batch_size: int) -> float:
    """Return the bytes that three steps add to the peak memory of a new process, or on the GPU."""
    command = [sys.executable, "-m", "benchmarks.memory", card, contender, str(batch_size)]
    return float(json.loads(child(command)[2].splitlines()[-1]))
