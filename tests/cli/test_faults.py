"""Command lines that users tried: each ends in a sentence that leads on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from zoo.cli import failures, overrides
from zoo.cli.lock import NAME, locked
from zoo.cli.newest import name_newest
from zoo.cli.resume import continue_run
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError, ZooWarning, suggest
from zoo.registry.places import ROOT


@pytest.fixture(scope="module", autouse=True)
def _stored():
    store_parts()


def check(*arguments: str) -> None:
    overrides.check(overrides.normalise(list(arguments)), CONFIGS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        # a setting that the task does not use
        ("task=evaluate ckpt=mnist datamodule.folder=x", "not use datamodule (dataset=NAME or"),
        ("task=evaluate ckpt=mnist datamodule=cifar10", "does not use datamodule"),
        ("task=explore ckpt=mnist datamodule=image_folder", "does not use datamodule"),
        ("task=sample ckpt=mnist model.latent_dim=3", "task=sample does not use model, so leave"),
        ("task=sample ckpt=mnist model/loss=hinge", "task=sample does not use model"),
        ("task=sample ckpt=mnist trainer.max_epochs=9", "task=sample does not use trainer"),
        ("task=sample ckpt=mnist ~logger", "task=sample does not use logger"),
        ("task=export ckpt=mnist callbacks=null", "task=export does not use callbacks"),
        ("task=list experiment=sngan", "task=list does not use experiment"),
        ("task=list data_dir=x", "task=list does not use data_dir"),
        # advice
        ("experiment=mnist", "Did you mean 'infogan_mnist' or 'stacked_mnist' or"),
        ("model/head=proj", "Did you mean 'projection'?"),
        ("model=sngan", "Did you mean experiment=sngan?"),
        ("model=resnet", "Did you mean model/generator=resnet or model/discriminator=resnet"),
        # bare errors and silent nonsense of before
        ("model.generator._target_=[a]", "model.generator._target_=['a'] is not a name"),
        ("experiment=1", "experiment is chosen by name"),
        ("model=true", "model is chosen by name"),
        ("model/loss=[]", "model/loss"),
        ("=1", "does not begin with the name of an option"),
        ("hydra=null", "cannot be composed"),
        ("--config-name=nope", "choose another configuration, but this program has only one"),
        ("--config-dir=/nowhere/at/all", "/nowhere/at/all is not a folder"),
        ("hydra.run.dir=", "hydra.run.dir= names no folder"),
        ("debug=1e", "debug=1e: there is no such choice. Choices: default, fdr, limit, overfit"),
        ("tags=dev", "tags=dev is not a list of str. Did you mean tags=[dev]?"),
        ("task=evaluate ckpt=mnist metrics=fid", "Did you mean metrics=[fid]?"),
        ("tags=['']", "tags='': a tag must have 1 to 64 characters"),
        ("task=sample ckpt=mnist tags=[a]", "task=sample does not use tags"),
        ("task_name=../x", "task_name=../x cannot name a folder in outputs/"),
        ("+trainer.deterministic=--", "trainer.deterministic=-- is not true or false"),
        ("+trainer.min_steps=inf", "trainer.min_steps=inf is not an integer"),
        ("model.latent_dim=99999999999999999999999", "does not fit into 64 bits"),
        ("task=sample ckpt=mnist fps=nan", "fps=nan is not a number"),
        ("~data_dir", "data_dir is missing: give the folder"),
        ("data_dir=null", "data_dir is missing"),
        ("-m seed=range(0,1000000000)", "names more than 10,000 values"),
        ("seed=range(0,1000000000)", "names more than 10,000 values"),
        # Lightning's switches
        ("+trainer.callbacks=[]", "is set elsewhere: give +callbacks.NAME._target_="),
        ("+trainer.logger=false", "trainer.logger is set elsewhere: give logger="),
        ("+trainer.default_root_dir=x", "default_root_dir is set elsewhere: give hydra.run.dir"),
        ("+trainer.profiler=fast", "profiler=fast is not one of simple, advanced"),
        ("+trainer.max_epoch=3", "no option 'max_epoch'. Did you mean 'max_epochs'?"),
    ],
)  # fmt: skip
def test_command_lines_that_led_nowhere(arguments, words):
    with pytest.raises(ZooError) as caught:
        check(*arguments.split(" "))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_task_uses_is_taken():
    check("task=evaluate", "ckpt=mnist", "dataset=mnist_subset", "data_dir=x", "n=3")
    check("task=tune", "space=['model/loss=bce,hinge']", "trainer.max_steps=3", "data_dir=x")
    check("data_dir=2024")


def test_a_part_of_a_name_is_close_to_it():
    assert suggest("proj", ["projection", "other"]) == " Did you mean 'projection'?"
    assert suggest("zz", ["zzz_long_name"]) == ""


def test_a_file_outside_of_the_runs_folder_is_not_replaced_either(tmp_path):
    from helpers import make_checkpoint

    run = tmp_path / "run"
    make_checkpoint(run / "checkpoints" / "last.ckpt")
    with pytest.raises(ZooError, match="holds a training, which would be replaced"):
        check(f"+callbacks.checkpoints.folder={run}")


def test_trainers_options_are_lightnings():
    import inspect

    import pytorch_lightning as pl

    from zoo.training.options import TRAINER_PARAMETERS, TRAINER_REFUSED

    own = {"gpus", "max_images", "ends_from_here", "keep_memory", "matmul_precision"}
    known = {p.name for p in TRAINER_PARAMETERS} | TRAINER_REFUSED.keys()
    assert known == (inspect.signature(pl.Trainer.__init__).parameters.keys() - {"self"}) | own


# Data sets of task=evaluate and task=explore ------------------------------------------------------


def pictures(folder: Path, n: int = 12) -> Path:
    import torch
    from PIL import Image

    folder.mkdir(parents=True)
    noise = torch.randint(0, 256, (n, 16, 16), dtype=torch.uint8).numpy()
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_a_folder_of_pictures_is_a_data_set(tmp_path, monkeypatch):
    from helpers import make_checkpoint

    from zoo.inference.load import load

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    model = load(make_checkpoint(tmp_path / "x.ckpt", num_classes=0))
    flat = model.dataset("data", str(pictures(tmp_path / "flat")))
    assert (flat.size("train"), flat.channels, flat.image_size, flat.num_classes) == (12, 1, 16, 0)
    pictures(tmp_path / "classes" / "a"), pictures(tmp_path / "classes" / "b")
    assert model.dataset("data", str(tmp_path / "classes")).class_names == ["a", "b"]
    for name, words in {
        "image_folder": "names no folder: give the folder itself, for example dataset=my/pictures",
        str(tmp_path / "none"): "is neither a folder or file of images nor a data set; the data",
        "mnst": "Did you mean 'mnist'",
    }.items():
        with pytest.raises(ZooError, match=words):
            model.dataset("data", name)


def test_evaluating_against_a_folder_names_it_and_tells_figures_once(tmp_path, monkeypatch, capsys):
    from helpers import make_checkpoint
    from helpers_train import configure

    from zoo.cli.jobs import run_task

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    file = make_checkpoint(tmp_path / "x.ckpt", num_classes=0)
    config, given = configure(
        "task=evaluate", f"ckpt={file}", f"dataset={pictures(tmp_path / 'mine', 30)}", "n=30",
        "features=mnist", "metrics=[fid]",
    )  # fmt: skip
    summary = run_task(config, tmp_path / "out", given)
    protocol = json.loads((tmp_path / "out" / "metrics.json").read_text())["protocol"]
    assert "image_folder" in json.dumps(protocol)
    printed = capsys.readouterr().out
    assert summary["fid"] > 0
    assert sum(line.startswith("fid ") for line in printed.splitlines()) == 1  # in the table


# The newest run, and one training in a folder -----------------------------------------------------


def test_last_is_the_newest_run_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError, match=r"ckpt=last: there is no training below .* ckpt=mnist"):
        name_newest(["task=sample", "ckpt=last"])
    with pytest.raises(ZooError, match=r"such as model\.start=mnist$"):
        name_newest(["model.start=last"])
    for arguments in (["resume=last"], ["ckpt=last"]):  # a model to sample from is no training
        with pytest.raises(ZooError, match=r"no training below .*; start one with [^,]+$"):
            name_newest(arguments)
    for i, name in enumerate(["outputs/train/b", "outputs/sweep/x/0", "outputs/train/a"]):
        file = tmp_path / name / "checkpoints" / "last.ckpt"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (i, i))
    assert name_newest(["resume=last", "seed=1"]) == ["resume='outputs/train/a'", "seed=1"]
    assert capsys.readouterr().out == "note: resume=last is outputs/train/a\n"
    assert name_newest(["task=sample", "ckpt='last'"])[1] == "ckpt='outputs/train/a'"
    Path("last").touch()
    assert name_newest(["ckpt=last"]) == ["ckpt=last"]


HOLD = """
import multiprocessing, os, sys, time
from pathlib import Path
from zoo.cli.lock import locked
def work():
    print(os.getpid(), flush=True)  # it runs: what it was forked with is let go
    time.sleep(100)
with locked(Path(sys.argv[1])):
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
"""


def test_two_trainings_do_not_share_a_folder(tmp_path):
    """A lock that names its process; that of a killed one is told apart, with workers alive."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert other.stdout is not None
    worker = int(other.stdout.readline())
    try:
        told = f"in use by process {other.pid} on {socket.gethostname()}, and two trainings"
        with pytest.raises(ZooError, match=told), locked(tmp_path):
            pass
        other.kill()
        other.wait()
        assert (tmp_path / NAME).is_file()  # left behind
        with locked(tmp_path):
            assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
        assert not (tmp_path / NAME).exists()
    finally:
        other.kill()
        os.kill(worker, signal.SIGKILL)
        other.communicate()


def test_the_lock_of_another_machine_is_not_taken(tmp_path):
    (tmp_path / NAME).write_text(json.dumps({"process": 7, "host": "elsewhere.example"}))
    told = r"process 7 on elsewhere.example.* remove .*\.lock"
    with pytest.raises(ZooError, match=told), locked(tmp_path):
        pass
    (tmp_path / NAME).write_text("{ half")
    with locked(tmp_path):
        pass


def test_a_second_process_of_one_training_takes_no_lock(tmp_path, monkeypatch):
    with locked(tmp_path):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with locked(tmp_path):
            assert json.loads((tmp_path / NAME).read_text())["process"] == os.getpid()
        assert (tmp_path / NAME).is_file()


def test_the_version_and_a_completion_by_hand(tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *arguments],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip

    assert run("--version").stdout.startswith("gan-zoo ")
    done = run("-sc", "query=bash")
    assert done.returncode == 1
    assert done.stderr.startswith("error: completions can be queried only by a shell")


@pytest.mark.parametrize("key", ["resume", "model.start"])
def test_an_empty_name_of_a_run_begins_no_other_training(key):
    with pytest.raises(ZooError, match=f"{key}= names no run: give {key}=outputs/train/RUN"):
        continue_run([f"{key}=", "seed=1"], None)
    assert continue_run(["resume=null", "seed=1"], None) == ["resume=null", "seed=1"]


def test_warnings_are_sentences_and_those_of_others_stay_as_they_are(capsys, monkeypatch):
    others = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: others.append(str(message)))
    before = warnings.showwarning
    with failures.exit_with_sentence():
        warnings.warn("1 of 9 pictures\x1b[2J cannot be read.", ZooWarning, stacklevel=1)
        warnings.warn("another library's", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: 1 of 9 pictures?[2J cannot be read.\n"
    assert others == ["another library's"]
    assert warnings.showwarning is before
