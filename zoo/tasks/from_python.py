"""`zoo.evaluate`: `task=evaluate` as a Python function, for models, loaders and data modules."""

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
    """Evaluate a trained generator, or a set of images, with FID, KID and other metrics.

    Examples::

        result = zoo.evaluate("mnist", data="mnist_subset", n=2000, metrics=["fid"])
        result = zoo.evaluate(model, data="my_pictures/", features="inception")
        result = zoo.evaluate(model, data=loader)
        result = zoo.evaluate(images="generated/", data="real/")
        curve = zoo.evaluate(["run/checkpoints/images_*.ckpt"], metrics=["fid"])
        print(result.figures["fid"], result.table())

    Args:
        model: a loaded model, a `GAN`, or anything that `zoo.load` accepts; or a list of these, in
            which patterns and folders named `checkpoints` stand for several checkpoints.
        data: the real images to compare with: the name of a data set, a folder of images, a data
            module, or a loader of images (N, C, H, W), uint8 or float in [-1, 1], or of pairs of
            images and labels; None uses the data set that the model was trained on.
        options: the options of `task=evaluate`: `n`, `metrics`, `features`, `seed`, `split` …; and
            `images`, a folder or loader of generated images to evaluate instead of a model.

    Returns:
        The result, with the metrics and the protocol; a list of results for a list of models.

    Raises:
        ZooError: `task=evaluate` would print an error, or `data` is none of the above.
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
        is_loader = not (data is None or isinstance(data, Reference))
        return task.score_pictures(images, loader_reference(data) if is_loader else data)
    load_options = {k: options[k] for k in ("weights", "device") if options.get(k)}
    if isinstance(model, list):
        models = [single for entry in model for single in _models(entry)]
        return in_order([_score(task, single, data, load_options) for single in models])
    return _score(task, model, data, load_options)


def _models(entry: Any) -> list[Any]:
    """Return the models that an entry of the list stands for, which may be several checkpoints."""
    is_path = isinstance(entry, str | os.PathLike)
    return checkpoints_of(os.fspath(entry)) if is_path else [entry]


def _score(task: Evaluate, model: Any, data: Any, options: dict[str, Any]) -> Result:
    """Evaluate one model.

    Args:
        task: the task, with the options of the evaluation.
        model: a model, or anything that `load` accepts.
        data: a `Reference` or a loader of real images; None uses the data set of the task.
        options: the options of `load`.
    """
    if isinstance(model, GAN):
        model = model.snapshot()
    if not isinstance(model, LoadedGenerator):
        model = load(model, **options)
    if data is not None and not isinstance(data, Reference):
        data = loader_reference(data, model.num_classes)
        if task.features is None:  # assume images of the same kind as the training's
            task.features = default_features(str(model.data.get("name")))
    return task.score(model, repr(model), data)
