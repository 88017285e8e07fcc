"""`refine=` wherever images are made: from files, in a fresh process, in figures, by plugins."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers import make_checkpoint

import zoo
from zoo.core.errors import ZooError
from zoo.inference.refine import Refiner, in_words
from zoo.registry import REGISTRY
from zoo.registry.places import ROOT


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("refine") / "a.ckpt")


QUICK = {
    "drs": {"name": "drs", "burn_in": 40},
    "mh": {"name": "mh", "steps": 3, "held_out": 20},
    "ddls": {"name": "ddls", "steps": 3},
}


@pytest.mark.parametrize("name", QUICK)
def test_samplers_choose_other_images_of_the_same_classes(name, file):
    model = zoo.load(file)
    given = {"n": 3, "label": [2, 7], "seed": 1}
    refined = model.sample(**given, refine=QUICK[name])
    assert refined.shape == (6, 1, 16, 16)
    assert not torch.equal(refined, model.sample(**given))
    assert torch.equal(refined, model.sample(**given, refine=QUICK[name]))
    torch.testing.assert_close(
        refined, model.sample(**given, refine=QUICK[name], batch_size=4), atol=1e-5, rtol=0
    )
    assert not torch.equal(refined, model.sample(n=3, label=[2, 7], seed=2, refine=QUICK[name]))


def test_refined_images_score_higher(file):
    model = zoo.load(file)
    y = torch.full((64,), 3)
    plain = model.scores(model.sample(64, 3), y).mean()
    climbed = model.sample(64, 3, refine={"name": "ddls", "steps": 30, "rate": 0.2, "noise": 0.0})
    assert model.scores(climbed, y).mean() > plain


def test_files_without_a_discriminator_and_contradictions_are_told(file, tmp_path):
    with pytest.raises(ZooError, match=r"^refine=drs needs .*, but mnist holds .*ckpt=RUN"):
        zoo.load("mnist").sample(2, refine="drs")
    with pytest.raises(ZooError, match=r"^refine=mh needs the discriminator, but mnist holds only"):
        zoo.load("mnist").refiner({"name": "mh", "steps": 3})
    with pytest.raises(ZooError, match=r"^a score needs the discriminator, but mnist holds only"):
        zoo.load("mnist").scores(torch.zeros(2, 1, 32, 32))
    model = zoo.load(file)
    with pytest.raises(ZooError, match=r"truncation=0.5 changes the distribution of the images"):
        model.sample(2, truncation=0.5, refine="drs")
    with pytest.raises(ZooError, match="Did you mean 'ddls'"):
        model.sample(2, refine="ddl")
    with pytest.raises(ZooError, match=r"refine=\{'steps': 3\} has no name"):
        model.sample(2, refine={"steps": 3})
    with pytest.raises(ZooError, match=r"seeds=… cannot select them"):
        zoo.create("task", "sample", ckpt=str(file), refine="drs", seeds="0-3")


def test_a_loss_whose_scores_are_no_ratio_is_told(file, tmp_path):
    content = torch.load(file, weights_only=True)
    content["zoo"]["loss"] = {"name": "hinge", "options": {}}
    torch.save(content, tmp_path / "hinge.ckpt")
    model = zoo.load(tmp_path / "hinge.ckpt")
    with pytest.warns(UserWarning, match="loss 'hinge' are not a density ratio"):
        model.sample(2, refine=QUICK["ddls"])
    assert not model.refiner(QUICK["mh"]).note  # which learns what they mean
    assert not zoo.load(file).refiner(QUICK["ddls"]).note


def test_a_head_in_the_place_of_the_loss_is_told_and_its_scores_are_taken_as_they_are():
    shape = {"image_size": 8, "channels": 1, "num_classes": 3}
    generator = zoo.create("generator", "mlp", **shape, latent_dim=4, width=8).eval()
    discriminator = zoo.create("discriminator", "mlp", **shape, head="multi_hinge", width=8).eval()
    loss = {"name": "lsgan", "options": {}}  # of which the scores' logit would be the ratio
    refiner = Refiner(QUICK["ddls"], generator, discriminator, loss, None)
    z, y = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    want = discriminator(generator(z, y).clamp(-1, 1), y).double()
    torch.testing.assert_close(refiner.scene.scores(z, y), want)
    assert "with the head multi_hinge are not a density ratio" in refiner.note
    able = [p.name for p in REGISTRY.having("sampler", lambda sampler: bool(sampler.calibrates))]
    assert "mh" in able
    assert refiner.note.endswith(
        f"with refine={', '.join(able)}, real images calibrate the scores."
    )


def test_scores_are_those_that_the_loss_saw(file, tmp_path):
    """Under gradient normalisation D(x) / (|grad D(x)| + |D(x)|), and no raw score."""
    content = torch.load(file, weights_only=True)
    content["zoo"]["regularizers"] = [
        {"name": "gradient_normalization", "options": {}},
        {"name": "NotOfTheRegistry", "options": {}},
        "nothing of use",
    ]
    torch.save(content, tmp_path / "normalised.ckpt")
    model = zoo.load(tmp_path / "normalised.ckpt")
    z, y = model.draw(4, seed=1)
    images = model.generate(z, y).requires_grad_()
    raw = model.discriminator()(images, y)
    (slope,) = torch.autograd.grad(raw.sum(), images)
    want = raw / (slope.flatten(1).norm(dim=1) + raw.abs())
    refiner = model.refiner(QUICK["ddls"])
    got = refiner.scene.scores(z, y)
    torch.testing.assert_close(got, want.detach().double(), rtol=1e-4, atol=1e-5)
    assert refiner.scene.gradient(z, y).abs().sum() > 0
    told = model.scores(images.detach(), y, batch_size=3)
    torch.testing.assert_close(told, want.detach(), rtol=1e-4, atol=1e-5)
    assert model.sample(2, refine=QUICK["ddls"]).isfinite().all()


def test_a_discriminator_of_packs_is_refused(file, tmp_path):
    content = torch.load(file, weights_only=True)
    torch.manual_seed(0)
    packed = zoo.create("discriminator", "dcgan", image_size=16, channels=2, num_classes=0)
    state = {k: v for k, v in content["state_dict"].items() if not k.startswith("discriminator.")}
    state |= {f"discriminator.{k}": v for k, v in packed.state_dict().items()}
    content["state_dict"] = state
    content["zoo"]["discriminator"] = {**zoo.registry.spec_of(packed), "head": None}
    torch.save(content, tmp_path / "packed.ckpt")
    with pytest.raises(ZooError, match="scores packs of 2 images"):
        zoo.load(tmp_path / "packed.ckpt").sample(2, refine="drs")


def test_figures_are_of_refined_images_and_say_so(file):
    model = zoo.load(file)
    options = {"n": 20, "metrics": ["fid"], "data": "mnist_subset", "batch_size": 10}
    plain = zoo.evaluate(model, **options)
    refined = zoo.evaluate(model, **options, refine=QUICK["ddls"])
    assert refined.protocol.refine == "ddls steps=3" == in_words(QUICK["ddls"])
    assert "truncation none, refined by ddls steps=3, seed 0" in str(refined.protocol)
    assert "refine: none / ddls steps=3" in plain.protocol.differences(refined.protocol)
    assert plain.figures != refined.figures


def test_refining_and_measuring_leave_the_model_as_it_was(file):
    model = zoo.load(file)
    state = {k: v.clone() for k, v in model.generator.state_dict().items()}
    needs = [p.requires_grad for p in model.generator.parameters()]
    assert any(needs)
    options = {"n": 20, "metrics": ["fid"], "data": "mnist_subset", "batch_size": 10}
    plain = zoo.evaluate(model, **options)
    standing = zoo.evaluate(model, **options, standing_statistics=2, refine=QUICK["ddls"])
    assert standing.protocol.batch_norm != plain.protocol.batch_norm == model.batch_norm
    model.sample(2, refine=QUICK["ddls"])
    assert [p.requires_grad for p in model.generator.parameters()] == needs
    assert all(torch.equal(v, state[k]) for k, v in model.generator.state_dict().items())
    assert zoo.evaluate(model, **options).figures == plain.figures


PLUGIN = '''
from zoo import Sampler, sampler


@sampler("origin")
class Origin(Sampler):
    """Latents shrunk to the middle.

    Args:
        share: that is left of them.
    """

    def __init__(self, share: float = 0.0) -> None:
        self.share = share

    def __call__(self, scene, z, y):
        return self.share * z
'''


def test_a_plugins_sampler_in_a_fresh_process(file, tmp_path):
    """From a checkpoint alone, in a folder where nothing else is."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "origin.py").write_text(PLUGIN)
    for choice in ("drs burn_in: 40", "origin"):
        name, _, option = choice.partition(" ")
        refine = f"{{name: {name}, {option}}}" if option else name
        command = [
            sys.executable, str(ROOT / "run.py"), "task=sample", f"ckpt={file}", "n=2", "label=3",
            f"refine={refine}", f"hydra.run.dir={tmp_path / name}", "device=cpu",
        ]  # fmt: skip
        environment = {"PYTHONPATH": str(ROOT), "ZOO_PLUGINS": str(tmp_path / "plugins")}
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=_with(environment)
        )
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / name).glob("0*.png"))) == 2
    one, other = ((tmp_path / "origin" / f"0000{i}_label3.png").read_bytes() for i in (0, 1))
    assert one == other


def _with(more):
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1", **more}
