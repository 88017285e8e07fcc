"""A figure that nothing will measure is refused before the data are loaded."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from importlib import import_module

import pytest
import pytorch_lightning as pl
from helpers_train import train

import zoo
from zoo.core.errors import ZooError
from zoo.parts.heads.acgan import ACGAN
from zoo.training.callbacks.base import check_directions, check_watched, may_log
from zoo.training.callbacks.checkpoints import Checkpoints
from zoo.training.lightning_internals import LOGGING


def gan_with(head):
    sizes = {"image_size": 8, "channels": 1, "num_classes": 3}
    discriminator = zoo.create("discriminator", "mlp", head=head, **sizes)
    generator = zoo.create("generator", "mlp", latent_dim=4, **sizes)
    return zoo.GAN(generator, discriminator, "bce")


class OtherLosses(ACGAN):
    """Inherits names that are not those of its own losses."""

    def auxiliary(self, update):
        return {"mine": update.fake_output.scores.mean()}


class NamedLosses(OtherLosses):
    auxiliary_names = ("mine",)


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ("unconditional", set()),
        ("acgan", {"class_loss", "class_loss_g"}),
        ("multi_hinge", {"class_loss", "feature_matching_g"}),
        (NamedLosses, {"mine", "mine_g"}),
    ],
)
def test_what_a_training_logs_is_known_before(head, known):
    gan = gan_with(head)
    assert known | {"loss_d", "loss_g"} <= gan.figures()
    with pytest.raises(ZooError, match=r"=fid is not measured\. This training measures: .*loss_d"):
        check_watched([Checkpoints(".", monitor="fid")], gan.figures())
    for name in known:
        check_watched([Checkpoints(".", monitor=name)], gan.figures())


def test_losses_that_nobody_names_are_not_known_before():
    assert gan_with(OtherLosses).figures() is None


def test_a_figure_beside_auxiliary_losses_is_refused_before_a_step(tmp_path):
    with pytest.raises(ZooError, match=r"checkpoints\.monitor=fid is not measured"):
        train(tmp_path, "model/head=acgan", "callbacks.checkpoints.monitor=fid")
    assert not (tmp_path / "csv").exists()


class Mine(pl.Callback):
    pass


def test_callbacks_that_log_nothing_hide_no_mistake():
    logged = {"loss_d"}
    keeper = Checkpoints(".", monitor="fid")
    for beside in (pl.callbacks.Timer(), pl.callbacks.RichProgressBar()):
        with pytest.raises(ZooError, match="monitor=fid is not measured"):
            check_watched([keeper, beside], logged)
    for beside in (Mine(), pl.callbacks.LearningRateMonitor()):
        check_watched([keeper, beside], logged)


def test_which_of_lightnings_callbacks_log():
    """Those of `LOGGING` alone write where figures are waited for."""
    found = set()
    for info in pkgutil.walk_packages(pl.callbacks.__path__, "pytorch_lightning.callbacks."):
        module = import_module(info.name)
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ClassDef) and any(map(_logs, ast.walk(node))):
                found.add(getattr(module, node.name))
    assert found == set(LOGGING)
    assert all(map(may_log, map(object.__new__, LOGGING)))


def _logs(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        return "callback_metrics" in ast.unparse(node.value)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    called = ast.unparse(node.func)
    return called.endswith("callback_metrics.update") or called in (
        "self.log", "self.log_dict", "pl_module.log", "pl_module.log_dict",
    )  # fmt: skip


def test_the_lowest_of_a_figure_that_is_better_the_higher_is_not_kept(tmp_path):
    """`mode=min` is the default: best.ckpt would be the worst, and a better figure end the run."""
    for figure in ("inception_score", "precision", "vendi", "high_quality"):
        with pytest.raises(ZooError, match=rf"{figure}: higher .* callbacks\.checkpoints\.mode="):
            check_directions([Checkpoints(".", monitor=figure)])
        check_directions([Checkpoints(".", monitor=figure, mode="max")])
    check_directions([Checkpoints(".", monitor=figure) for figure in ("fid", "loss_g", None)])
    early = ("callbacks=early_stopping", "callbacks.early_stopping.monitor=recall")
    with pytest.raises(ZooError, match=r"monitor=recall: .* set callbacks\.early_stopping\.mode="):
        train(tmp_path, *early, "callbacks.evaluate.metrics=[prdc,fid]")
