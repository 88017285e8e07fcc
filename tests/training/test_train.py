"""Training from a configuration: what it prints, what it refuses, how it stops."""

from __future__ import annotations

import inspect
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from helpers_train import TINY, read, train
from hydra.core.override_parser.overrides_parser import OverridesParser

import zoo
from zoo.cli.grammar import value_of
from zoo.cli.overrides import normalise
from zoo.cli.resume import continue_run
from zoo.core.errors import ZooError
from zoo.explore.compare import read_metrics
from zoo.parts.generators.mlp import MLPGenerator
from zoo.registry.places import ROOT
from zoo.training.callbacks.samples import SampleGrid
from zoo.training.lightning_internals import COUNTS_BY_NVML
from zoo.training.trainer import make_trainer
from zoo.training.window import NonFiniteError


def test_a_run_ends_with_the_places_and_the_commands_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    summary = train(tmp_path / "run", "trainer.max_images=70", "model.conditional=true")
    text = capsys.readouterr().out
    assert summary["trained"].startswith("80 images")  # five whole batches
    assert summary["images"] == "run/samples/images_000000080.png"
    assert summary["checkpoint"] == "run/checkpoints/last.ckpt"
    assert summary["log"] == "run/csv/version_0"
    assert summary["sample"] == "python -m zoo task=sample ckpt=run n=64 label=5"
    assert summary["resume"] == "python -m zoo resume=run trainer.max_images=160"
    assert {"loss_d", "loss_g", "images_per_second"} <= summary.keys()
    for place in ("images", "checkpoint", "log"):
        assert (tmp_path / summary[place]).exists()
    assert text.startswith("mlp (")
    assert "all files go to run\n" in text
    more = continue_run(shlex.split(summary["resume"])[3:])
    trained = train(tmp_path / "run", *more)["trained"]
    assert re.fullmatch(r"80 images in \d+ s, 160 in total", trained)


def test_commands_take_any_folder(tmp_path, monkeypatch):
    """Through the shell and Hydra's grammar."""
    monkeypatch.chdir(tmp_path)
    summary = train(tmp_path / "it's (my) run", "trainer.max_steps=1")
    assert summary["checkpoint"] == "it's (my) run/checkpoints/last.ckpt"
    for label, key in {"sample": "ckpt", "resume": "resume"}.items():
        (given,) = [o for o in shlex.split(summary[label]) if o.startswith(f"{key}=")]
        parsed = OverridesParser.create().parse_override(given)
        assert parsed.value() == "it's (my) run"
    (file,) = [o for o in continue_run(shlex.split(summary["resume"])[3:]) if "resume=" in o]
    assert value_of([file], "resume") == str(tmp_path / "it's (my) run/checkpoints/last.ckpt")


def test_the_training_images_are_not_copied_to_be_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("zoo.data.base.take_rows", None)
    train(tmp_path, "trainer.max_steps=1")
    assert "on 160 images of mnist_subset" in capsys.readouterr().out


def test_nothing_but_the_program_itself_speaks(tmp_path):
    """No hints of Lightning's, no warnings; in a process of its own, where no test filters them."""
    code = (
        "import sys; sys.path.insert(0, 'tests/support'); from helpers_train import train;"
        "from pathlib import Path;"
        f"train(Path({str(tmp_path)!r}), 'trainer.max_epochs=1', 'logger=csv', 'trainer=default')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    labels = {"mlp", "trained", "images", "checkpoint", "log", "sample", "resume"}
    assert {line.split()[0] for line in done.stdout.splitlines()} == labels | {
        "loss_d",
        "loss_g",
        "images_per_second",
    }


def test_the_progress_bar_shows_losses_and_speed(tmp_path, capsys):
    options = [o for o in TINY if o != "callbacks.progress=null"]
    train(tmp_path, *options, "trainer.max_epochs=1", tiny=False)
    bar = capsys.readouterr()
    text = (bar.out + bar.err).replace("\r", "\n")
    assert "10/10" in text
    assert all(name in text for name in ("D=", "G=", "images/s="))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.gpus=1", r"asks for 1 GPU, but this machine has 0: use trainer.gpus=0"),
        ("trainer=gpu", r"needs a CUDA GPU, but this machine has none: use trainer=cpu"),
        ("trainer=gpu_fp16", r"needs a CUDA GPU"),
        ("trainer=gpu_bf16", r"needs a CUDA GPU"),
        ("trainer=ddp_gpu", r"needs a CUDA GPU"),
        ("trainer=mps", r"needs an Apple GPU, but this machine has none: use trainer=cpu"),
        ("trainer.gpus=-1", r"trainer.gpus=-1 must be 0 or more"),
        ("trainer.gpus=all", r"trainer.gpus=all is not an integer or null"),
        ("+trainer.max_epoch=3", r"no option 'max_epoch'. Did you mean 'max_epochs'\?"),
        ("trainer.max_images=0", r"trainer.max_images=0 must be 1 or more"),
        ("trainer.max_epochs=0", r"trainer.max_epochs=0 must be 1 or more, or -1 for no limit"),
        ("trainer.max_steps=0", r"trainer.max_steps=0 must be 1 or more, or -1 for no limit"),
        ("trainer.max_steps=-2", r"trainer.max_steps=-2 must be 1 or more"),
        ("trainer.precision=16-true", r"not one of 32-true, bf16-mixed, 16-mixed; in all"),
        ("+trainer.gradient_clip_val=1", r"use model.clip_grad_norm"),
        ("+trainer.accumulate_grad_batches=2", r"set a larger datamodule.batch_size instead"),
        ("trainer.log_every_n_steps=0", r"must be 1 or more"),
        ("callbacks.samples.rows=0", r"callbacks.samples.rows=0 must be 1 or more"),
        ("callbacks.checkpoints.mode=up", r"mode=up is not one of min, max"),
        ("+callbacks.samples.row=1", r"callbacks.samples has no option .row.. Did you mean .rows."),
        ("trainer.devices=0", r"^trainer.devices=0 must be 1 or more, or -1 for all GPUs.$"),
        ("model.lr_decay_start=2", r"lr_decay_start=2.0 must be 0 or more and below 1"),
        ("model.lr_g=-1", r"model.lr_g=-1.* must be above 0"),
        ("model.betas=[0.5]", r"must be two numbers"),
        ("model.ema_half_life=0", r"^model.ema_half_life=0.0 must be above 0.$"),
        ("model.latent_dim=0", r"latent_dim=0 must be 1 or more.$"),
        ("seed=-1", r"^seed=-1 must be from 0 to 4294967295.$"),
        ("seed=99999999999", r"^seed=99999999999 must be from"),
    ],
)
def test_what_cannot_work_is_refused_in_words(tmp_path, override, words):
    device = {"GPU": torch.cuda.is_available(), "Apple": torch.backends.mps.is_available()}
    if any(name in words and there for name, there in device.items()):
        pytest.skip("this machine has the device that is asked for")
    given = [o for o in TINY if o != "trainer.accelerator=cpu" or "trainer=" not in override]
    with pytest.raises(ZooError, match=words) as caught:
        train(tmp_path / "run", *given, override, tiny=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_training_that_is_refused_at_its_start_leaves_nothing(tmp_path):
    """Not even the samples and the log of before the first step, but what was there before."""
    given = ("+callback=early_stopping", "callbacks.early_stopping.monitor=loss_g")
    with pytest.raises(ZooError, match="no callback measures any"):
        train(tmp_path / "run", *given)
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir(parents=True)
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(ZooError, match="no callback measures any"):
        train(tmp_path / "mine", *given)
    assert (tmp_path / "mine" / "notes.txt").exists()


def test_a_resumed_training_that_is_refused_leaves_its_log_as_it_is(tmp_path):
    train(tmp_path, "trainer.max_steps=8")
    log = tmp_path / "csv" / "version_0" / "metrics.csv"
    with log.open("a") as file:
        file.write(log.read_text().splitlines()[-1].replace(",8", ",12") + "\n")
    before = log.read_bytes()
    with pytest.raises(ZooError, match="needs an Apple GPU"):
        train(tmp_path, f"resume={tmp_path}", "trainer.accelerator=mps", "trainer.max_steps=16")
    assert log.read_bytes() == before


def test_gpus_0_is_the_processor(tmp_path):
    given = [o for o in TINY if o != "trainer.accelerator=cpu"]
    train(tmp_path, *given, "trainer.gpus=0", "trainer.max_steps=2", tiny=False)
    assert read(tmp_path)["zoo"]["step"] == 2


def test_gpus_0_keeps_the_processes_of_the_preset(tmp_path):
    data = zoo.create("datamodule", "mnist_subset")
    settings = {"gpus": 0, "accelerator": "auto", "devices": 2, "strategy": "ddp"}
    trainer = make_trainer(settings, [], tmp_path, data)
    assert trainer.num_devices == trainer.world_size == 2
    assert trainer.strategy.root_device.type == "cpu"


def test_bf16_trains_and_stays_finite(tmp_path):
    train(
        tmp_path,
        "trainer.precision=bf16-mixed",
        "trainer.max_epochs=1",
        "model/regularizer=[r1,gradient_penalty]",
        "model.clip_grad_norm=1",
    )
    state = read(tmp_path)["state_dict"]
    assert all(v.isfinite().all() for v in state.values())
    assert {v.dtype for v in state.values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize("instructions", ["avx2", "avx512_bf16"])
def test_bf16_is_said_to_be_slow_where_it_is_emulated(tmp_path, monkeypatch, capsys, instructions):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True})
    train(tmp_path, "trainer.precision=bf16-mixed", "trainer.max_steps=1")
    is_said = "bf16-mixed is slower than 32-true here" in capsys.readouterr().out
    assert is_said == (instructions == "avx2")


def test_nan_losses_stop_with_part_and_step_and_keep_the_last_good_checkpoint(tmp_path):
    train(tmp_path, "trainer.max_steps=3")
    good = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(NonFiniteError) as caught:
        train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=30", "model.lr_d=1e30")
    text = str(caught.value)
    assert "training stopped at step 4: loss_g of generator 'mlp' under loss 'bce' is nan" in text
    assert "model.lr_d" in text
    assert "\n" not in text
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == good
    assert zoo.load(tmp_path).sample(2).isfinite().all()


def test_weights_that_are_nan_are_never_written(tmp_path):
    """The losses of the step were fine: the update itself made the weights infinite."""
    with pytest.raises(NonFiniteError, match=r"step 1: weights of generator .mlp. are NaN or inf"):
        train(tmp_path, "trainer.max_steps=1", "model.lr_g=1e38", "model.optimizer=rmsprop")
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_an_exception_of_a_part_reaches_the_command_line(tmp_path, monkeypatch, capsys):
    """As it comes, and as `run.py` tells it; the handler of Ctrl-C is put back."""
    from zoo.cli.failures import exit_with_sentence
    from zoo.parts.losses.bce import BCE

    def broken(self, real, fake):
        raise ValueError("my plugin is not finished")

    monkeypatch.setattr(BCE, "discriminator", broken)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as caught, exit_with_sentence():
        train(tmp_path, "trainer.max_steps=2")
    assert caught.value.code == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: ValueError: my plugin is not finished (")
    assert "debug=traceback" in errors
    assert errors.count("\n") == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(ZooError, match=r"cannot write a checkpoint to .*/checkpoints: ") as caught:
        train(tmp_path, "trainer.max_steps=2")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_every_n_images_is_kept(tmp_path):
    train(tmp_path, "trainer.max_epochs=2", "callbacks.checkpoints.every_n_images=160")
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    numbered = ["images_000000160.ckpt", "images_000000320.ckpt"]
    assert names == [*numbered, "last.ckpt", "previous.ckpt"]


def test_nothing_but_the_training_itself(tmp_path):
    given = [o for o in TINY if not o.startswith("callbacks.")]
    off = normalise(["logger=null", "callbacks=null"])
    summary = train(tmp_path, *given, *off, "trainer.max_steps=2", tiny=False)
    assert summary["trained"].startswith("32 images")
    assert not {"checkpoint", "images", "log", "sample", "resume"} & summary.keys()
    assert not list(tmp_path.iterdir())


def test_the_best_checkpoint_by_a_logged_value_is_kept(tmp_path):
    """Without anything that evaluates."""
    train(tmp_path, "trainer.max_epochs=3", "callbacks.checkpoints.monitor=loss_g")
    curve = read_metrics(tmp_path)
    ends = [curve["loss_g"][1][curve["loss_g"][0].index(step)] for step in (10, 20, 30)]
    best = read(tmp_path / "checkpoints" / "best.ckpt")["zoo"]["step"]
    assert best == 10 * (1 + ends.index(min(ends)))


def test_a_monitor_that_nothing_measures_is_told_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.tasks.train.fit", lambda *given: pytest.fail("it began"))
    with pytest.raises(ZooError, match=r"monitor=loos_g is not measured. Did you mean 'loss_g'"):
        train(tmp_path, "trainer.max_epochs=9", "callbacks.checkpoints.monitor=loos_g")


@pytest.mark.parametrize(("loss", "penalties"), [("bce", []), ("wgan_gp", ["r1", "lecam"])])
def test_the_names_of_what_is_logged_are_known_before(tmp_path, loss, penalties):
    given = (f"model/loss={loss}", f"model/regularizer=[{','.join(penalties)}]")
    train(tmp_path, "trainer.max_steps=4", *given)
    (log,) = tmp_path.glob("csv/*/metrics.csv")
    logged = set(log.read_text().splitlines()[0].split(",")) - {"epoch", "step", "images_seen"}
    gan = zoo.GAN("mlp", "mlp", loss, penalties, image_size=8, channels=1, num_classes=10)
    assert logged <= gan.figures()
    assert {"loss_d", *penalties} <= logged
    assert not (tmp_path / "samples" / "images_000000320.png").exists()


def test_cuda_graph_on_a_processor_is_explained(tmp_path, capsys):
    train(tmp_path, "model.cuda_graph=true", "trainer.max_steps=1")
    note = "note: model.cuda_graph=true has no effect: CUDA graphs need a CUDA device"
    assert note in capsys.readouterr().out


def test_compile_trains_to_the_same_weights(tmp_path, capsys, monkeypatch):
    """D's update with a penalty stays eager, and is said to; the rest is compiled.

    By the compiler's front end alone: machine code takes a minute to make.
    """
    defaults = inspect.unwrap(zoo.AdversarialStep.__init__).__kwdefaults__
    monkeypatch.setitem(defaults, "compile_backend", "eager")
    common = ["trainer.max_steps=3", "model/regularizer=[r1]", "model.regularizer.r1.every=2"]
    train(tmp_path / "eager", *common)
    train(tmp_path / "compiled", *common, "model.compile=true")
    assert "note: model.compile=true: torch.compile does not support the double backward" in (
        capsys.readouterr().out
    )
    eager, compiled = (read(tmp_path / name)["state_dict"] for name in ("eager", "compiled"))
    assert eager.keys() == compiled.keys()
    for name, value in eager.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-4)


def test_paths_outside_of_the_folder_stay_whole(tmp_path, monkeypatch):
    from zoo.core.errors import shown

    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == "a/b"
    assert shown(Path("/usr/lib")) == "/usr/lib"


def test_kept_memory_trains_the_same_weights(tmp_path):
    """In a process of its own, whose allocator it changes."""
    code = (
        "import sys; sys.path.insert(0, 'tests/support'); from helpers_train import train;"
        "from pathlib import Path;"
        f"out = Path({str(tmp_path / 'kept')!r});"
        "train(out, 'trainer.keep_memory=true', 'trainer.max_epochs=1');"
        "import os; assert os.environ['THP_MEM_ALLOC_ENABLE'] == '1'"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    train(tmp_path / "plain", "trainer.max_epochs=1")
    kept, plain = (read(tmp_path / name)["state_dict"] for name in ("kept", "plain"))
    assert all(torch.equal(kept[name], plain[name]) for name in plain)


def test_matmul_precision_is_set_and_a_wrong_one_refused(tmp_path):
    train(tmp_path / "fast", "trainer.max_steps=1", "trainer.matmul_precision=high")
    assert torch.get_float32_matmul_precision() == "high"
    train(tmp_path / "exact", "trainer.max_steps=1", "trainer.matmul_precision=highest")
    assert not torch.backends.cudnn.allow_tf32
    train(tmp_path / "usual", "trainer.max_steps=1")
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32
    with pytest.raises(ZooError, match="matmul_precision=tf32 is not one of highest, high, medium"):
        train(tmp_path / "wrong", "trainer.max_steps=1", "trainer.matmul_precision=tf32")


def test_no_more_images_than_a_batch_are_generated_at_once(tmp_path, monkeypatch):
    sizes = []
    forward = MLPGenerator.forward

    def counted(self, z, *given):
        sizes.append(len(z))
        return forward(self, z, *given)

    monkeypatch.setattr(MLPGenerator, "forward", counted)
    train(tmp_path, "datamodule.batch_size=8", "callbacks.samples.rows=3", "trainer.max_steps=2")
    assert max(sizes) == 8
    assert sum(sizes) > 3 * 8


def test_a_grid_is_drawn_in_a_trainer_of_the_users_with_a_plain_loader(tmp_path):
    images, labels = torch.rand(16, 1, 8, 8) * 2 - 1, torch.zeros(16, dtype=torch.long)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), 8)
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=2, logger=False, callbacks=[SampleGrid(str(tmp_path))],
        enable_checkpointing=False, enable_progress_bar=False,
    )  # fmt: skip
    trainer.fit(zoo.GAN("mlp", "mlp", "bce", image_size=8, channels=1), loader)
    assert list((tmp_path / "samples").glob("*.png"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="GPUs are counted once in use")
def test_optimizers_do_not_search_for_gpus_at_every_step(tmp_path, monkeypatch):
    count, counts = torch.cuda.device_count, []
    monkeypatch.setenv(COUNTS_BY_NVML, "1")  # as Lightning sets it when it is imported
    monkeypatch.setattr(torch.cuda, "device_count", lambda: counts.append(1) or count())
    train(tmp_path, "trainer.max_steps=40")
    assert 1 <= len(counts) < 40
