"""`zoo.evaluate`: the task on what Python has in hand, models, loaders and data modules."""

from __future__ import annotations

import os
from typing import Any, overload

from zoo.core.errors import ZooError
from zoo.data.base import DataModule
from zoo.inference.load import LoadedGenerator, load
from zoo.inference.locate import checkpoints_of
from zoo.metrics.comparison import Reference
from zoo.metrics.curve import in_order
from zoo.metrics.evaluate import default_features, reference_of
from zoo.metrics.protocol import Result
from zoo.metrics.references import loader_reference
from zoo.registry import create
from zoo.tasks.evaluate import Evaluate
from zoo.training.gan import GAN


@overload
def evaluate(model: list[Any], data: Any = None, **options: Any) -> list[Result]: ...
@overload
def evaluate(model: Any = None, data: Any = None, **options: Any) -> Result: ...
def evaluate(model: Any = None, data: Any = None, **options: Any) -> Result | list[Result]:
    """Score a trained generator, or pictures: FID, KID, …, with the protocol beside them.

        result = zoo.evaluate("mnist", data="mnist_subset", n=2000, metrics=["fid"])
        result = zoo.evaluate(model, data="my_pictures/", features="inception")
        result = zoo.evaluate(model, data=loader)
        result = zoo.evaluate(images="generated/", data="real/")
        curve = zoo.evaluate(["run/checkpoints/images_*.ckpt"], metrics=["fid"])
        print(result.figures["fid"], result.table())

    Args:
        model: a loaded model, a `GAN`, or what `zoo.load` takes; a list of these, in which patterns
            and folders `checkpoints` are ranges of checkpoints, gives a list of results.
        data: real images to compare with: the name of a data set, a folder of pictures, a data
            module, or a loader of images (N, C, H, W), uint8 or float in [-1, 1], or of pairs of
            images and labels; None takes the data set that the model was trained on.
        options: those of `task=evaluate`: `n`, `metrics`, `features`, `seed`, `split` …; `images`
            in place of a model is a folder of generated pictures, or a loader of them.

    Raises:
        ZooError: as `task=evaluate`; or data that is none of these.
    """
    images = options.pop("images", None)
    if (model is None) == (images is None):
        raise ZooError("zoo.evaluate takes a model, or images=… in place of it.")
    if isinstance(data, str | os.PathLike):
        options["dataset"], data = os.fspath(data), None
    task: Evaluate = create("task", "evaluate", **options)
    if isinstance(data, DataModule):
        data = reference_of(data, task.split)
    if images is not None:
        known = data is None or isinstance(data, Reference)
        return task.score_pictures(images, data if known else loader_reference(data))
    chosen = {k: options[k] for k in ("weights", "device") if options.get(k)}
    if isinstance(model, list):
        each = [one for entry in model for one in _models(entry)]
        return in_order([_score(task, one, data, chosen) for one in each])
    return _score(task, model, data, chosen)


def _models(entry: Any) -> list[Any]:
    """What an entry of a list of models means: a path may mean a range of checkpoints."""
    path = isinstance(entry, str | os.PathLike)
    return checkpoints_of(os.fspath(entry)) if path else [entry]


def _score(task: Evaluate, model: Any, data: Any, options: dict[str, Any]) -> Result:
    """The result of one model against a `Reference`, a loader, or what the task names.

    Args:
        options: of `load`.
    """
    if isinstance(model, GAN):
        model = model.snapshot()
    if not isinstance(model, LoadedGenerator):
        model = load(model, **options)
    if data is not None and not isinstance(data, Reference):
        data = loader_reference(data, model.num_classes)
        if task.features is None:  # the images are of the kind that it was trained on
            task.features = default_features(str(model.data.get("name")))
    return task.score(model, repr(model), data)
