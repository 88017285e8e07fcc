"""Publishing into a folder: what lies in it, its card and figures, and what is refused."""

from __future__ import annotations

import re
import shlex

import pytest
import torch
import yaml
from helpers import make_checkpoint
from PIL import Image

import zoo
from zoo.cli.program import program
from zoo.core.errors import ZooError
from zoo.inference.export import export
from zoo.inference.hub import fetch
from zoo.inference.images import grid
from zoo.inference.locate import locate
from zoo.inference.publish import _samples, card, card_figures, publish
from zoo.metrics.protocol import Protocol, Result, tables
from zoo.tasks.explore import Explore
from zoo.tasks.publish import Publish

FILES = ["README.md", "generator.json", "generator.safetensors", "samples.png"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return zoo.load(make_checkpoint(folder / "checkpoints" / "last.ckpt"))


@pytest.fixture
def result():
    fields = {
        name: 10_000 if kind == "int" else f"the {name}"
        for name, kind in Protocol.__annotations__.items()
    } | {"weights": "ema", "batch_norm": "running", "settings": {"fid": "the settings"}}
    return Result("a", Protocol(**fields), {"fid": 12.345678})


def test_a_published_folder_is_a_model(model, tmp_path):
    summary = publish(model, f"file:{tmp_path / 'mnist'}", dtype="fp32")
    assert sorted(p.name for p in (tmp_path / "mnist").iterdir()) == FILES
    again = zoo.load(tmp_path / "mnist")
    assert (again.sample(4, label=5) - model.sample(4, label=5)).abs().max() == 0
    assert summary["load"] == f'zoo.load("{tmp_path / "mnist"}")'
    with Image.open(tmp_path / "mnist" / "samples.png") as picture:
        assert picture.height > 10 * 64


def test_weights_that_were_not_published_are_not_overwritten(model, tmp_path):
    export(model, tmp_path / "generator.safetensors", "safetensors")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    task = Publish(ckpt=str(tmp_path / "generator.safetensors"), repo=f"file:{tmp_path}")
    with pytest.raises(ZooError, match=r"generator\.safetensors would be overwritten"):
        task(tmp_path / "out")
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_is_published_names_no_files_of_this_machine(result, tmp_path):
    file = make_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(file, weights_only=True)
    kept = ["model.lr_g=1e-4", "model/regularizer=[r1,lecam]", "features=timm/resnet18"]
    kept += ["model.betas=[0.0, 0.9]"]
    paths = ["data_dir=patients", "hydra.run.dir=patients", "datamodule.cache_dir=null"]
    paths += ["+datamodule.masks='/home/me/patients'", "logger.wandb={here:~/patients}"]
    content["zoo"]["overrides"] = [*kept, *paths]
    options = {"folder": "patients", "image_size": 16, "x": ["../patients"]}
    content["zoo"]["data"]["options"] = options
    content["zoo"]["sources"]["loss"] = "/home/patients/loss.py"
    torch.save(content, file)
    result.model = "dcgan (/home/patients/last.ckpt)"
    evaluation = tmp_path / "evaluation.json"
    result.save(evaluation)
    published = f"file:{tmp_path / 'published'}"
    Publish(ckpt=str(file), repo=published, dtype="bf16", evaluation=str(evaluation))(tmp_path)
    for written in (tmp_path / "published").iterdir():
        assert b"patients" not in written.read_bytes(), written
    again = zoo.load(tmp_path / "published")
    assert again.info["overrides"] == kept
    assert again.data["options"] == {"image_size": 16}
    assert again.info["sources"]["loss"] == "loss.py"
    text = (tmp_path / "published" / "README.md").read_text()
    command = re.search(rf"`{re.escape(program())} (.*)`", text)[1]
    assert shlex.split(command) == kept


def test_bf16_halves_the_weights(model, tmp_path):
    sizes = [publish(model, f"file:{tmp_path}", dtype=d)["bytes"] for d in ("fp32", "bf16")]
    assert sizes[1] < 0.55 * sizes[0]
    difference = zoo.load(tmp_path).sample(4, label=5) - model.sample(4, label=5)
    assert difference.abs().max() < 0.2


def test_the_card_says_what_it_is(model, result, monkeypatch):
    text = card(model, "hf:me/digits", "bf16", license="mit", figures=tables([result]))
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "mit"
    assert "gan" in front["tags"]
    for part in ("dcgan (image_size=16", "bce", "mnist_subset, 1×16×16", "1,280 images"):
        assert part in text
    assert "12.3" in text
    assert "the weights_hash" in text, "figures without their protocol"
    assert "task=evaluate" in card(model, "hf:me/digits", "bf16")
    monkeypatch.setitem(model.info, "overrides", ["model/regularizer=[r1]", "seed=3"])
    command = "`gan-zoo 'model/regularizer=[r1]' seed=3`"
    assert f"| command | {command} |" in card(model, "hf:me/digits", "bf16")


def test_the_card_and_the_report_name_the_head(tmp_path):
    pretrained = zoo.load("mnist")
    assert "norm=auto), head projection |" in card(pretrained, "mnist", "bf16")
    report = Explore(ckpt="mnist", sections=["sefa"])(tmp_path)["report"]
    assert "norm=auto), head projection<" in report.read_text()


def test_samples_are_of_the_classes_beside_them(tmp_path):
    """Also where a class is called as another one's index."""
    names = ["2", "0", "7"]
    file = make_checkpoint(tmp_path / "a.ckpt", num_classes=3, class_names=names)
    model = zoo.load(file)
    z, _ = model.draw(24)
    images = model.generate(z, torch.arange(3).repeat_interleave(8))
    assert _samples(model).tobytes() == grid(images, 8, rows=names).tobytes()


def test_the_cards_code_runs(model, tmp_path, monkeypatch):
    publish(model, f"file:{tmp_path}")
    monkeypatch.chdir(tmp_path.parent)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)[1]
    scope = {}
    exec(code, scope)
    assert scope["images"].shape == (64, 1, 16, 16)


def test_a_published_model_is_published_again_with_its_figures(tmp_path, model):
    before = locate("mnist").with_name("README.md").read_text(encoding="utf-8")
    Publish(ckpt="mnist", repo=f"file:{tmp_path / 'digits'}")(tmp_path)
    text = (tmp_path / "digits" / "README.md").read_text(encoding="utf-8")
    assert text.split("## Figures")[1] == before.split("## Figures")[1]
    assert 'zoo.load("digits")' in text
    assert str(tmp_path) not in text
    # Other batch-norm statistics make other images.
    again = zoo.load(tmp_path / "digits")
    assert card_figures(again)
    again.batch_norm = "standing (16 passes)"
    assert card_figures(again) == ""
    assert card_figures(model) == ""  # a checkpoint has no card


def test_figures_of_a_card_stay_in_their_fence(tmp_path):
    Publish(ckpt="mnist", repo=f"file:{tmp_path / 'a'}")(tmp_path)
    card = tmp_path / "a" / "README.md"
    text = card.read_text(encoding="utf-8")
    card.write_text(text.replace("\n\nProtocol:", "\n``` \n<b>\n\nProtocol:"), encoding="utf-8")
    assert "\n''' \n<b>\n" in card_figures(zoo.load(tmp_path / "a"))
    with card.open("wb") as opened:
        opened.truncate(2**40)
    assert card_figures(zoo.load(tmp_path / "a")) == ""


def test_the_cards_tags_are_what_the_model_is(model, tmp_path):
    classes = "class-conditional-image-generation"
    front = yaml.safe_load(card(model, "digits", "bf16").split("---")[1])
    assert classes in front["tags"]
    assert "pipeline_tag" not in front
    plain = zoo.load(make_checkpoint(tmp_path / "plain.ckpt", num_classes=0))
    front = yaml.safe_load(card(plain, "digits", "bf16").split("---")[1])
    assert classes not in front["tags"]
    assert front["pipeline_tag"] == "unconditional-image-generation"


def test_publish_task_takes_figures_from_the_run(model, result, tmp_path):
    kept = model.file.parent.parent / "evaluations"
    kept.mkdir(exist_ok=True)
    result.save(kept / "images_000001280_a.json")
    Publish(ckpt=str(model.file), repo=f"file:{tmp_path / 'a'}")(tmp_path)
    assert "12.3" in (tmp_path / "a" / "README.md").read_text()
    result.figures["fid"] = 77.7
    result.save(tmp_path / "other.json")
    task = Publish(
        ckpt=str(model.file),
        repo=f"file:{tmp_path / 'b'}",
        evaluation=str(tmp_path / "other.json"),
    )
    task(tmp_path)
    assert "77.7" in (tmp_path / "b" / "README.md").read_text()


def test_the_card_names_the_data_and_has_a_note(model, result, tmp_path):
    result.save(tmp_path / "figures.json")
    note = "The data are a copy: a little softer."
    first = {"ckpt": str(model.file), "dataset": "softer", "note": note}
    Publish(**first, repo=f"file:{tmp_path / 'a'}", evaluation=str(tmp_path / "figures.json"))(
        tmp_path
    )
    again = zoo.load(tmp_path / "a")
    assert again.data["name"] == "softer"
    assert again.data["options"] == {}
    assert again.class_names == model.class_names
    Publish(ckpt=str(tmp_path / "a"), repo=f"file:{tmp_path / 'b'}")(tmp_path)  # and they stay
    for name in "ab":
        text = (tmp_path / name / "README.md").read_text()
        assert f"\n\n{note}\n\n## Figures" in text
        assert "| data | softer, " in text
        assert text.count("on softer") == 2  # the heading, and that of the figures
        assert "- softer" in text


def test_publish_errors(model, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "no.json").write_text("{}")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "README.md").write_text("# Mine\n")
    ckpt = str(model.file)
    for options, message in [
        ({}, "needs ckpt="),
        ({"ckpt": ckpt}, "repo=owner/name"),
        ({"ckpt": ckpt, "repo": "digits"}, "must be owner/name"),
        ({"ckpt": ckpt, "repo": f"file:{tmp_path / 'file'}"}, "cannot publish into"),
        ({"ckpt": ckpt, "repo": "file:"}, "names no folder"),
        ({"ckpt": ckpt, "repo": f"file:{tmp_path / 'project'}"}, "has no model card of the zoo"),
        ({"ckpt": ckpt, "repo": "a/b", "evaluation": str(tmp_path / "x.json")}, "cannot be read"),
        ({"ckpt": ckpt, "repo": "a/b", "evaluation": str(tmp_path / "no.json")}, "not a result"),
    ]:
        with pytest.raises(ZooError, match=message):
            Publish(**options)(tmp_path)
    assert (tmp_path / "project" / "README.md").read_text() == "# Mine\n"
    for name in ("digits", "a/b/c", "../etc/passwd", "a b/c", ""):
        with pytest.raises(ZooError, match="must be owner/name"):
            fetch(name)
