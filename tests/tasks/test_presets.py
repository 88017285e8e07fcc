"""`task=list` shows the shipped models, trainers, loggers, callbacks and presets of debug=."""

from __future__ import annotations

from zoo.inference.locate import pretrained_names
from zoo.registry.places import CONFIGS
from zoo.tasks.list import ListParts
from zoo.tasks.models import models_page, models_text
from zoo.tasks.presets import GROUPS, presets, presets_page, presets_text


def test_every_file_of_the_groups_says_what_it_is():
    files = {(g, f.stem) for g in GROUPS for f in (CONFIGS / g).glob("*.yaml")}
    found = list(presets())
    assert {(p.group, p.name) for p in found} >= files
    for preset in found:
        assert len(preset.what) > 5, preset.name
        assert f"  {preset.name} " in presets_text()
    assert max(map(len, presets_text(100).splitlines())) <= 100


def test_the_page_has_what_they_set():
    page = presets_page()
    for cell in ("`logger.wandb.log_model=false`", "`logger.mlflow.tracking_uri=null`",
                 "`trainer.max_steps=1`", "`trainer.precision=16-mixed`", "`debug=overfit`",
                 "`callbacks.evaluate.metrics=[fid]`", "`task_name=debug`"):  # fmt: skip
        assert cell in page, cell
    assert "_target_" not in page


def test_every_model_that_comes_along_is_listed(tmp_path, capsys):
    lines = models_text(80).splitlines()
    assert max(map(len, lines)) <= 80
    named = [line.split()[0] for line in lines[1:] if line[2] != " "]
    assert named == pretrained_names()
    assert "mnist          dcgan on mnist at 32 pixels in grey, 10 classes, " in "".join(lines)
    ListParts()(tmp_path)
    assert " ".join(models_text().split()) in " ".join(capsys.readouterr().out.split())
    ListParts(format="markdown")(tmp_path)
    assert models_page() in capsys.readouterr().out
    for name in pretrained_names():
        assert f"| `ckpt={name}` |" in models_page()


def test_the_task_prints_them_behind_all_parts_alone(tmp_path, capsys):
    ListParts(format="markdown")(tmp_path)
    assert capsys.readouterr().out.rstrip().endswith(presets_page())
    ListParts()(tmp_path)
    words = " ".join(capsys.readouterr().out.split())  # which are wrapped at the terminal's width
    assert words.endswith(" ".join(presets_text().split()))
    ListParts("loss")(tmp_path)
    assert "debug=" not in capsys.readouterr().out
