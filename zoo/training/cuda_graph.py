"""The whole adversarial step as a CUDA graph: one launch instead of hundreds.

At 32×32 pixels, a GPU waits for Python most of the time. A graph records the kernels of a step once
and replays them: the updates of D and G, the optimizers, the weight average and the random numbers.
The results are those of the eager step, since the graph reads the same state of the random number
generator, the same learning rates and the same weight of the average.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from zoo.training.step import AdversarialStep

Replay = Callable[[], Tensor]
Capture = Callable[[Callable[[], Tensor]], Replay]


class GraphedStep:
    """An `AdversarialStep` that runs as CUDA graphs; it is called in the same way.

    There is one graph for each distinct schedule (the set of lazy regularizers that are due), all
    in one memory pool. The first `warmup` steps run eagerly on a side stream: they are real
    training steps, which also create what must exist before a capture (the state of the optimizers,
    the workspaces of libraries). Capturing computes nothing, so no step is lost or done twice.

    If capturing is impossible, every step runs eagerly, and `note` says why.

    Args:
        step: The step. Its optimizers are made capturable: their learning rates become tensors,
            which are changed in place.
        warmup: The number of eager steps before the first capture; each later schedule has one.
        capture: Captures a function and returns its replay; None for CUDA graphs. Tests pass
            their own.
        say: Called with a note, once, if capturing fails in the middle of training.

    Attributes:
        note: A sentence that says why the step runs eagerly; empty if it is captured.
        captured: The number of schedules captured so far.
    """

    def __init__(
        self,
        step: AdversarialStep,
        *,
        warmup: int = 3,
        capture: Capture | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.step = step
        self.warmup = warmup
        self.note = obstacle(step) if capture is None else ""
        self._capture = capture or CudaCapture()
        self._say = say
        self._parameters = [*step.generator.parameters(), *step.discriminator.parameters()]
        self._replays: dict[Hashable, Replay] = {}
        self._names: dict[Hashable, list[str]] = {}
        self._gradients: dict[Hashable, list[Tensor | None]] = {}
        self._seen: dict[Hashable, int] = {}
        self._images: Tensor | None = None
        self._labels: Tensor | None = None
        if not self.note:
            for optimizer in (step.optimizer_g, step.optimizer_d):
                make_capturable(optimizer)
            if step.ema is not None:
                step.ema.make_capturable()

    @property
    def captured(self) -> int:
        return len(self._replays)

    def __call__(
        self, images: Tensor, labels: Tensor | None, index: int, images_seen: int | None = None
    ) -> dict[str, Tensor]:
        """Train for one step; a batch whose shape differs from the first one's runs eagerly."""
        if self.note or not self._fits(images, labels):
            return self.step(images, labels, index, images_seen)
        self.step.prepare(len(images), index, images_seen)
        metrics = self._run(images, labels, index)
        self.step.backend.count_step()
        return metrics

    def _fits(self, images: Tensor, labels: Tensor | None) -> bool:
        if self._images is None:
            self._images = torch.empty_like(images)
            self._labels = None if labels is None else torch.empty_like(labels)
        return images.shape == self._images.shape and (labels is None) == (self._labels is None)

    def _run(self, images: Tensor, labels: Tensor | None, index: int) -> dict[str, Tensor]:
        step = self.step
        key = (step.schedule(index), step.generator.training, step.discriminator.training)
        if key not in self._replays:
            seen = self._seen[key] = self._seen.get(key, 0) + 1
            if seen <= (1 if self._replays else self.warmup):
                return self._warm_up(images, labels, index)
        self._fill(images, labels)
        if key not in self._replays and not self._try_capture(key, index):
            return step.run(images, labels, index)
        # Copied, since the next replay overwrites the tensor.
        values = self._replays[key]().clone()
        for parameter, gradient in zip(self._parameters, self._gradients[key], strict=True):
            parameter.grad = gradient
        return dict(zip(self._names[key], values.unbind(), strict=True))

    def _try_capture(self, key: Hashable, index: int) -> bool:
        """Capture the work of `key`; if that fails, say so and run eagerly from now on."""
        try:
            self._replays[key] = self._capture(lambda: self._recorded(key, index))
        except RuntimeError as error:
            reason = _first_line(error)
            self.note = f"the step could not be captured as a CUDA graph and runs eagerly: {reason}"
            if self._say is not None:
                self._say(self.note)
            return False
        # Kept for as long as the graph, so that the gradients seen after a replay are those of that
        # replay, in memory that no other graph of the pool writes to.
        self._gradients[key] = [parameter.grad for parameter in self._parameters]
        return True

    def _recorded(self, key: Hashable, index: int) -> Tensor:
        """Do the work of a graph on its static inputs; return all metrics in one tensor."""
        assert self._images is not None
        metrics = self.step.run(self._images, self._labels, index)
        self._names[key] = list(metrics)
        return torch.stack([value.float() for value in metrics.values()])

    def _fill(self, images: Tensor, labels: Tensor | None) -> None:
        assert self._images is not None
        self._images.copy_(images)
        if labels is not None and self._labels is not None:
            self._labels.copy_(labels)

    def _warm_up(self, images: Tensor, labels: Tensor | None, index: int) -> dict[str, Tensor]:
        """Run one training step eagerly on a side stream, as capturing requires."""
        if images.device.type != "cuda":
            return self.step.run(images, labels, index)
        metrics: dict[str, Tensor] = on_side_stream(lambda: self.step.run(images, labels, index))
        for value in metrics.values():
            value.record_stream(torch.cuda.current_stream())
        return metrics


class CudaCapture:
    """Captures functions as CUDA graphs that share one memory pool.

    Sharing is safe in any order of replays: the tensors in the pool that are read after a replay
    are either copied at once (metrics) or live as long as their graph (gradients). Weights,
    averages and optimizer states were allocated before any capture.
    """

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, function: Callable[[], Tensor]) -> Replay:
        # Otherwise, the graph would contain casts that autocast cached before.
        torch.clear_autocast_cache()
        random = torch.cuda.default_generators[torch.cuda.current_device()]
        before = random.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads (such as a loader's, which pins memory) may keep calling CUDA.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                result = function()
        except BaseException:
            # A random generator that stays registered with a failed capture cannot draw any more.
            random.graphsafe_set_state(before)
            raise
        finally:
            # Otherwise, the cache would hold casts that were recorded but never computed.
            torch.clear_autocast_cache()
        self._pool = graph.pool()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


@functools.cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """Return the stream of all warm-ups; memory freed on a stream is reused only on that stream."""
    return torch.cuda.Stream(device)


def on_side_stream(function: Callable[[], Any]) -> Any:
    """Call `function` on a side stream that waits for the current stream, and vice versa."""
    main = torch.cuda.current_stream()
    side = _side_stream(torch.cuda.current_device())
    side.wait_stream(main)
    with torch.cuda.stream(side):
        result = function()
    main.wait_stream(side)
    return result


def _first_line(error: BaseException) -> str:
    """Return the first line of the original error, since a failed capture raises another."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error).strip().partition("\n")[0]


def obstacle(step: AdversarialStep) -> str:
    """Return a sentence on why `step` cannot be captured as a CUDA graph; empty if it can."""
    methods: list[Any] = [step.loss, *step.regularizers.values(), *step.augmentations]
    if step.generator.latent is not None:
        methods.append(step.generator.latent)
    head = getattr(step.discriminator, "head", step.discriminator)
    for part in (step.generator, step.discriminator, head, *methods):
        if not getattr(part, "claims_cuda_graph", False):  # any module can be an augmentation
            return f"no CUDA graph: {type(part).__name__} is not declared to work in one."
    device = next(step.generator.parameters()).device.type
    if device != "cuda":
        return f"CUDA graphs need a CUDA device; the networks are on {device}."
    if step.backend.obstacle:
        return f"no CUDA graph: {step.backend.obstacle}."
    if step.schedules is not None and step.schedules.obstacle:
        return f"no CUDA graph: {step.schedules.obstacle}."
    if step.backend.world_size > 1:
        return "no CUDA graph: gradients are averaged over processes within the step."
    for optimizer in (step.optimizer_g, step.optimizer_d):
        if any("capturable" not in group for group in optimizer.param_groups):
            return f"no CUDA graph: {type(optimizer).__name__} cannot be captured."
    return ""


def make_capturable(optimizer: torch.optim.Optimizer) -> None:
    """Move an optimizer's learning rates and step counts to the device, for use in a CUDA graph."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        group["capturable"] = True
        if not isinstance(group["lr"], Tensor):
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
    for parameter, state in optimizer.state.items():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(parameter.device)
