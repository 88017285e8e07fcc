"""The zoo from a script or a notebook: names for parts, training, pictures, figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import zoo
from zoo.cli.from_python import _as_overrides
from zoo.core.errors import ZooError
from zoo.registry import KINDS, spec_of

SHAPE = {"image_size": 16, "channels": 1, "num_classes": 10}


@pytest.fixture(scope="module")
def model() -> zoo.LoadedGenerator:
    return zoo.load("mnist")


def test_importing_zoo_takes_no_torch() -> None:
    code = "import sys, zoo; zoo.list_parts(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_gan_of_names_is_that_of_objects() -> None:
    torch.manual_seed(0)
    options = {"width": 16}
    named = zoo.GAN(
        {"name": "mlp", **options}, "mlp", "hinge", ["r1", {"name": "lecam", "weight": 0.1}],
        "diffaugment", latent_dim=8, lr_g=1e-3, **SHAPE,
    )  # fmt: skip
    torch.manual_seed(0)
    g = zoo.create("generator", "mlp", latent_dim=8, **options, **SHAPE)
    d = zoo.create("discriminator", "mlp", **SHAPE)
    assert spec_of(named.generator) == spec_of(g)
    for ours, theirs in ((named.generator, g), (named.discriminator, d)):
        assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    assert torch.equal(next(named.generator.parameters()), next(g.parameters()))
    info = named.describe()
    assert [r["name"] for r in info["regularizers"]] == ["r1", "lecam"]
    assert info["regularizers"][1]["options"]["weight"] == 0.1
    assert [a["name"] for a in info["augmentations"]] == ["diffaugment"]
    assert info["latent"]["name"] == "normal"
    assert not [n for n in named.notes if "zoo.create" in n]


def test_names_stand_beside_objects() -> None:
    g = zoo.create("generator", "mlp", latent_dim=8, width=16, **SHAPE)
    gan = zoo.GAN(g, "mlp", zoo.create("loss", "bce"))
    assert gan.generator is g
    assert (gan.discriminator.image_size, gan.discriminator.num_classes) == (16, 10)
    with pytest.raises(ZooError, match=r"add image_size=…, channels=…"):
        zoo.GAN("mlp", "mlp", "bce")
    with pytest.raises(ZooError, match=r"loss \{'margin': 1\} has no name"):
        zoo.GAN(g, "mlp", {"margin": 1})
    with pytest.raises(ZooError, match="there is no loss 'hing'"):
        zoo.GAN(g, "mlp", "hing")


def test_a_gan_samples_and_stays_in_training() -> None:
    gan = zoo.GAN({"name": "dcgan", "base_channels": 4}, "mlp", "bce", latent_dim=8, **SHAPE)
    gan.train()
    before = {k: v.clone() for k, v in gan.state_dict().items()}
    images = gan.sample(3, label=5)
    assert images.shape == (3, 1, 16, 16)
    assert torch.equal(images, gan.sample(3, label=5))
    assert gan.generator.training
    assert all(torch.equal(v, before[k]) for k, v in gan.state_dict().items())


def test_pictures(model: zoo.LoadedGenerator) -> None:
    picture = zoo.show(model.sample(6, label=5), columns=3)
    assert isinstance(picture, Image.Image)
    assert picture.width > picture.height
    one = zoo.show(torch.zeros(3, 80, 80))
    assert one.mode == "RGB"
    assert one.getpixel((40, 40)) in ((127, 127, 127), (128, 128, 128))
    assert zoo.show([torch.zeros(1, 4, 4)] * 4).size == zoo.show(torch.zeros(4, 1, 4, 4)).size
    with pytest.raises(ZooError, match=r"the shape \(4, 4\)"):
        zoo.show(torch.zeros(4, 4))


def test_a_model_is_called_moved_and_saved(model: zoo.LoadedGenerator, tmp_path: Path) -> None:
    z, y = model.draw(2, label=3)
    z.requires_grad_()
    images = model.to("cpu")(z, y)
    images.sum().backward()
    assert z.grad is not None
    assert torch.allclose(images.detach().clamp(-1, 1), model.generate(z.detach(), y), atol=1e-5)
    with pytest.raises(ZooError, match="device=nowhere"):
        model.to("nowhere")
    again = zoo.load(model.save(tmp_path / "sub" / "mine.safetensors"))
    assert torch.equal(again.sample(4, label=5), model.sample(4, label=5))
    assert again.weights == model.weights
    with pytest.raises(ZooError, match=r"must end in \.safetensors"):
        model.save(tmp_path / "mine.pt")


def test_parts_are_listed_by_kind_and_pattern() -> None:
    everything = zoo.list_parts()
    assert list(everything) == list(KINDS)
    assert everything["loss"] == zoo.list_parts("loss")
    assert zoo.list_parts("loss", "*gan*") == [n for n in everything["loss"] if "gan" in n]
    assert "wgan" in zoo.list_parts("loss", "wgan")
    assert zoo.list_parts(pattern="mnis?")["datamodule"] == ["mnist"]
    with pytest.raises(ZooError, match="no kind of part"):
        zoo.list_parts("losses")


def test_keywords_are_overrides() -> None:
    found = _as_overrides(
        {
            "datamodule": "mnist_subset",
            "seed": 3,
            "model": {
                "regularizer": ["r1", "lecam"],
                "head": None,
                "lr_g": 1e-4,
                "generator": {"width": 8},
                "betas": (0.0, 0.99),
            },
            "callbacks": {"progress": None},
            "resume": Path("a b/run"),
        }
    )
    assert found == [
        "datamodule=mnist_subset",
        "seed=3",
        "model/regularizer=[r1,lecam]",
        "model/head=null",
        "model.lr_g=0.0001",
        "model.generator.width=8",
        "model.betas=[0.0,0.99]",
        "callbacks.progress=null",
        "resume='a b/run'",
    ]


def test_training_gives_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained = zoo.train(
        "model/generator=mlp",
        "model/discriminator=mlp",
        datamodule={"image_size": 8, "batch_size": 16, "train_val_test_split": [160, 20, 20]},
        model={
            "loss": "hinge", "latent_dim": 8, "generator": {"width": 8},
            "discriminator": {"width": 16},
        },
        trainer={"accelerator": "cpu", "max_steps": 2},
        callbacks={"progress": None},
    )  # fmt: skip
    (run,) = (tmp_path / "outputs" / "train").iterdir()
    assert trained.file.resolve() == run / "checkpoints" / "last.ckpt"
    assert trained.info["loss"]["name"] == "hinge"
    assert trained.images_seen == 32
    assert trained.sample(2, label=5).shape == (2, 1, 8, 8)
    longer = zoo.train(resume=str(run), trainer={"max_steps": 4})
    assert longer.images_seen == 64
    assert longer.file.resolve() == trained.file.resolve()


def test_training_tells_mistakes_as_the_command_line_does() -> None:
    with pytest.raises(ZooError, match="model/loss=hing: there is no such choice"):
        zoo.train(model={"loss": "hing"})
    with pytest.raises(ZooError, match="not flags such as '-m'"):
        zoo.train("-m", "model/loss=hinge")
    with pytest.raises(ZooError, match="not task=sample"):
        zoo.train(task="sample")
    with pytest.raises(ZooError, match=r"keep callbacks\.checkpoints"):
        zoo.train(callbacks={"checkpoints": None})


def test_figures_of_a_folder_and_a_loader_agree(
    model: zoo.LoadedGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    images = ((model.sample(4, label="all", seed=9) + 1) * 127.5).round().to(torch.uint8)
    for i, image in enumerate(images):
        folder = tmp_path / "pictures" / str(i // 4)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / f"{i:02}.png")
    labels = torch.arange(10).repeat_interleave(4)
    options = {"n": 40, "metrics": ["fid"], "features": "mnist", "device": "cpu"}
    folder = zoo.evaluate(model, data=tmp_path / "pictures", **options)
    loader = DataLoader(TensorDataset(images, labels), batch_size=16)
    loaded = zoo.evaluate(model, data=loader, **options)
    assert loaded.figures["fid"] == pytest.approx(folder.figures["fid"], rel=1e-3)
    assert loaded.protocol.reference.startswith("loader/train 1x32x32")
    with pytest.raises(ZooError, match="is neither a folder or file of images nor a data set"):
        zoo.evaluate(model, data="mnist_subse", **options)
    with pytest.raises(ZooError, match="no images"):
        zoo.evaluate(model, data=[], **options)


def test_a_gan_is_saved_as_its_samples_are(tmp_path):
    gan = zoo.GAN("mlp", "mlp", "hinge", image_size=8, channels=1, num_classes=3)
    loaded = zoo.load(gan.save(tmp_path / "own.safetensors"))
    assert torch.equal(loaded.sample(3, label=2, seed=1), gan.sample(3, label=2, seed=1))
