"""The benchmark compares like with like: same networks, same step."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize

from benchmarks import alone, curves, lightning, measure, report
from benchmarks.cards import CARDS
from benchmarks.measure import ROOT, Timing, flops, interleaved, machine, peak_memory
from benchmarks.plain import PENALTIES, PlainLoop
from benchmarks.suite import LOSSES, cases
from zoo.core.errors import ZooError
from zoo.layers.spectral_norm import SpectralNorm
from zoo.registry import REGISTRY, create
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep


def made(card):
    """The zoo's and the plain networks of a card, in float64 down to the spectral norms."""
    torch.manual_seed(0)
    pairs = [[network.double() for network in pair] for pair in (card.zoo(), card.plain())]
    for pair in pairs:
        for network in pair:
            if isinstance(getattr(network, "noise", None), torch.nn.Module):
                network.noise.eval()  # the two draw in another order
    return pairs


@torch.no_grad()
def iterate_as_torch(norm, matrix):
    """The power iteration in torch's order: one does not agree with the other before it ends."""
    norm.u.copy_(F.normalize(matrix.mv(norm.v), dim=0))
    norm.v.copy_(F.normalize(matrix.T.mv(norm.u), dim=0))


def copy_weights(zoo, plain):
    """From the zoo's networks to the plain ones, which name and shape some of them otherwise."""
    theirs = dict(plain.state_dict())
    converted = {}
    for name, value in zoo.state_dict().items():
        for prefix in ("trunk.", "body.", "head."):
            name = name.replace(prefix, "")
        if name not in theirs:
            for number in ("", "1", "2"):
                name = name.replace(f"norm{number}.norm.", f"norm{number}.")
        if "spectral_norm." in name:
            name = name.replace("spectral_norm.u", "parametrizations.weight.0._u")
            name = name.replace("spectral_norm.v", "parametrizations.weight.0._v")
        elif name.endswith("weight") and name not in theirs:
            parametrized = name.removesuffix("weight") + "parametrizations.weight.original"
            name = parametrized if parametrized in theirs else name
        converted[name] = value
    if set(converted) != set(theirs):  # layers in the same order under other names
        assert len(converted) == len(theirs)
        converted = dict(zip(theirs, converted.values(), strict=True))
    for name, value in converted.items():
        want = theirs[name].shape
        if value.shape != want and value.dim() == 2 and len(want) == 4:
            if want[0] == value.shape[1]:  # (H*W*C, Z) -> (Z, C, H, W)
                value = value.view(*want[2:], want[1], want[0]).permute(3, 2, 0, 1)
            else:  # (1, H*W*C) -> (1, C, H, W)
                value = value.view(1, *want[2:], want[1]).permute(0, 3, 1, 2)
        if name.startswith("project.") and hasattr(plain, "width"):  # (H*W*C, ...) -> (C*H*W, ...)
            value = value.view(4, 4, plain.width, -1).permute(2, 0, 1, 3)
        converted[name] = value.reshape(want) if value.shape != want else value
    plain.load_state_dict(converted)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CARDS)
def test_plain_networks_are_the_zoos(name):
    card = CARDS[name]
    (g, d), (plain_g, plain_d) = made(card)
    for ours, theirs in ((g, plain_g), (d, plain_d)):
        assert sum(p.numel() for p in ours.parameters()) == sum(
            p.numel() for p in theirs.parameters()
        )
        copy_weights(ours, theirs)
        ours.eval()
        theirs.eval()
    with torch.no_grad():
        z = torch.randn(2, card.latent_dim)
        images = g(z)
        torch.testing.assert_close(images, plain_g(z))
        torch.testing.assert_close(d(images), plain_d(images))


PAIRS = [
    *((name, None, None) for name in CARDS),
    *(("mlp_28", loss, None) for loss in LOSSES),
    *(("mlp_28", "hinge", penalty) for penalty in PENALTIES),
    ("wgan_gp_32", "hinge", "r1"),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "loss", "penalty", "tuned"),
    [*((*pair, False) for pair in PAIRS), *((name, None, None, True) for name in CARDS)],
)
def test_the_plain_step_is_the_zoos(name, loss, penalty, tuned, monkeypatch):
    """Same losses and same weights: folding, shared spectral norms and channels last included."""
    card = CARDS[name]
    loss = loss or card.loss
    (g, d), (plain_g, plain_d) = made(card)
    monkeypatch.setattr(SpectralNorm, "_iterate", iterate_as_torch)
    method = create("loss", loss)
    penalty = penalty or card.penalty
    added = [create("regularizer", n) for n in penalty.split("+")] if penalty else []
    # With so large an epsilon Adam's first step is proportional to the gradient: nothing but noise
    # in a gradient that should be 0 moves a weight by a whole learning rate.
    options = {"lr": 1e-2, "betas": card.betas, "eps": 1.0}
    step = AdversarialStep(
        g,
        d,
        method,
        adam(g.parameters(), **options),
        adam(d.parameters(), **options),
        regularizers=[*method.regularizers(), *added],
    )
    loop = PlainLoop(
        plain_g, plain_d, loss, card.latent_dim, 1e-2, card.betas, penalty, tuned=tuned
    )
    start = []
    for ours, theirs in ((g, plain_g), (d, plain_d)):
        copy_weights(ours, theirs)
        ours.to(memory_format=torch.channels_last)
        start.append({k: v.clone() for k, v in theirs.state_dict().items()})
    for optimizer in (loop.optimizer_g, loop.optimizer_d):
        optimizer.param_groups[0]["eps"] = options["eps"]
    images = card.images(4, torch.device("cpu")).double()
    torch.manual_seed(1)
    values = step(images, None, 0)
    torch.manual_seed(1)
    # Under `cached`, torch's spectral norm iterates once per update, as the zoo's does; in the
    # benchmark it does so at every pass, as in anybody's loop.
    with parametrize.cached():
        loss_d = loop.discriminator_update(images, fake := loop.generate(4, images.device))
    with parametrize.cached():
        loss_g = loop.generator_update(images, fake)
    torch.testing.assert_close(values["loss_d"], loss_d)
    torch.testing.assert_close(values["loss_g"], loss_g)
    for ours, theirs, before in ((g, plain_g, start[0]), (d, plain_d, start[1])):
        want = {k: v.clone() for k, v in theirs.state_dict().items()}
        copy_weights(ours, theirs)  # in the plain names and shapes
        for key, value in theirs.state_dict().items():
            moved = (want[key] - before[key]).abs().max()
            apart = (value - want[key]).abs().max()
            assert apart <= 1e-6 * moved + 1e-12, f"{key}: {apart:.2g} apart, moved by {moved:.2g}"


def test_a_training_without_updates_is_timed_past_the_first_diagnosis() -> None:
    """It looks at the networks after 20,000 images, although no step trains them."""
    run = lightning.without_updates(64, 1, size=500)
    assert set(run.timings) == {"run.py", "its batches alone"}
    assert all(timing.median > 0 for timing in run.timings.values())


@pytest.mark.parametrize("name", CARDS)
def test_run_py_trains_the_same_networks(name, tmp_path):
    card = CARDS[name]
    _, gan = lightning.make_run(card, lightning.Noise(card, 4, 16), 1, tmp_path, [])
    counts = [[sum(p.numel() for p in n.parameters()) for n in pair]
              for pair in ((gan.generator, gan.discriminator), card.zoo())]  # fmt: skip
    assert counts[0] == counts[1]
    penalties = (card.penalty or "").split("+") if card.penalty else []
    assert [r["name"] for r in gan.describe()["regularizers"]] == penalties


def test_operations_are_counted_through_a_penalty():
    inputs, weight = torch.randn(4, 3), torch.randn(3, 2, requires_grad=True)

    def penalised():
        x = inputs.clone().requires_grad_()
        (slope,) = torch.autograd.grad((x @ weight).sum(), x, create_graph=True)
        slope.square().sum().backward()

    product = 2 * 4 * 3 * 2
    assert flops(lambda: inputs @ weight) == product
    assert flops(penalised) >= 3 * product  # forward, the slope, and its derivative by the weight


def test_peak_memory_is_the_childs_own():
    held = torch.ones(500_000_000)  # 2 GB in the parent
    assert 1e6 < peak_memory("mlp_28", "zoo", 4) < 1e9
    del held


def test_measuring():
    calls = {"a": 0, "b": 0}

    def count(name):
        calls[name] += 1
        sum(range(20_000))

    timings = interleaved(
        {name: lambda name=name: count(name) for name in calls},
        torch.device("cpu"),
        rounds=4,
        warmup=1,
    )
    assert {name: len(t.seconds) for name, t in timings.items()} == {"a": 4, "b": 4}
    assert min(calls.values()) > 4
    assert Timing((1.0, 2.0, 4.0)).speedup(Timing((2.0, 4.0, 6.0))) == 2
    assert Timing((3.0, 1.0, 2.0)).median == 2


def test_run_and_the_plain_loop_are_measured_in_processes_of_their_own():
    timings = alone.measure("mlp_28", 4, rounds=1, seconds=1)
    assert [*timings] == ["plain", "run.py"]
    assert all(1e-4 < timing.median < 1 for timing in timings.values())
    without = "import benchmarks.cards, sys; assert 'pytorch_lightning' not in sys.modules"
    measure.child([sys.executable, "-c", without])  # the plain loop shall not pay for Lightning


def test_report(tmp_path):
    row = {"ms": 10.0, "images_per_second": 6400.0, "speedup": 1.0, "gflop": 0.5, "rounds": 5}
    row["of_peak"] = 0.5
    case = {"part": "step", "name": "mlp_28", "batch_size": 64, "date": "2026-11-24"}
    case["peak"] = {"fp32": 1e11, "bf16": 2e11}
    found = {
        "machine": machine(torch.device("cpu")),
        "dates": dict.fromkeys(report.HEADINGS, "2026-11-24"),
        "cases": {"step mlp_28": case | {"rows": {"plain": row, "zoo": row | {"speedup": 1.5}}}},
        "lightning": {"mlp_28": {"plain": {"ms": 9.0, "speedup": 1.0}}},
        "alone": {"mlp_28": {"run.py": {"ms": 8.0, "speedup": 1.25}}},
        "scale": {"batch": {n: {1: 0.001, 4: 0.002} for n in ("plain", "zoo")},
                  "image_size": {16: 0.002}},
        "memory": {"mlp_28": {"plain": 10.0, "zoo": 9.0}},
        "startup": {"--help, CPU seconds": 0.6},
        "curves": {k: {n: [2.0, 1.0, 3.0] for n in ("loss_d", "loss_g")} for k in ("fp32", "bf16")},
    }  # fmt: skip
    report.write(found, tmp_path, "cpu")
    text = (tmp_path / "cpu.md").read_text(encoding="utf-8")
    assert "| mlp_28, batch 64 | zoo | 10.00 | 6,400 | 1.50 × | 50% | 5 |" in text
    assert "| mlp_28 | 10.00 | 9.00 |" in text
    assert "| mlp_28 | run.py | 8.00 | 1.25 × |" in text
    assert json.loads((tmp_path / "cpu.json").read_text())["memory"] == found["memory"]
    assert "Measured 2026-11-24. The peak is that of a large matrix product" in text
    assert "| bf16 | 2.000 | 2.000 |" in text
    for picture in ("cpu.png", "cpu_curves.png"):
        assert (tmp_path / picture).stat().st_size > 1000


def test_bf16_starts_as_fp32_does():
    fp32, bf16 = curves.measure(torch.device("cpu"), steps=curves.WINDOW).values()
    for name in curves.LOSSES:
        assert bf16[name] != fp32[name]
        assert bf16[name] == pytest.approx(fp32[name], rel=0.05)


def test_cases_cover_every_loss_and_card():
    full, quick = cases(), cases(quick=True)
    assert {c.card.name for c in quick if c.part == "step"} == set(CARDS)
    assert {c.loss for c in full if c.part == "loss"} == set(LOSSES)
    assert set(LOSSES) <= {p.name for p in REGISTRY.parts("loss") if p.source == "zoo"}
    for case in full:
        assert next(iter(case.contenders(torch.device("cpu")))) == "plain"


def test_without_the_option_nothing_is_timed():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "benchmarks", "--collect-only"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_option_collects_benchmarks_by_part():
    command = [sys.executable, "-m", "pytest", "--benchmark", "--collect-only"]
    some = [*command, "--benchmark-quick", "--benchmark-part=step", "--benchmark-part=mlp_28"]
    done = subprocess.run(some, cwd=ROOT, capture_output=True, text=True)
    assert "test_step[mlp_28-zoo]" in done.stdout
    assert "dcgan" not in done.stdout


def test_asking_for_help_leaves_the_readme_alone(tmp_path, monkeypatch, capsys):
    from benchmarks import readme

    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr("sys.argv", ["readme.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        readme.main()
    assert ended.value.code == 0
    assert "section on speed" in capsys.readouterr().out


def test_the_readme_shows_the_results():
    from benchmarks import readme

    assert readme.current(readme.README.read_text(encoding="utf-8")) == readme.speed().strip()


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("convolution", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_operations_of_convolutions_know_groups(convolution, groups):
    layer = convolution(8, 12, 3, padding=1, groups=groups, bias=False)
    x = torch.ones(2, 8, 5, 5, requires_grad=True)
    forward = 2 * 2 * 25 * 9 * 8 * 12 // groups
    assert flops(lambda: layer(x)) == forward
    assert flops(lambda: layer(x).sum().backward()) == 3 * forward


def test_systems_without_unixs_modules_measure_what_they_can(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    cpu, wall, printed = measure.child([sys.executable, "-S", "-c", "print(1)"])
    assert math.isnan(cpu)
    assert wall > 0
    assert printed.strip() == "1"
    monkeypatch.setattr(measure, "STATUS", tmp_path / "status")
    with pytest.raises(ZooError, match="measured on Linux"):
        measure.resident("VmRSS")
