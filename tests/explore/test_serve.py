"""The page of task=serve, by HTTP."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
import torch
from helpers import make_checkpoint
from helpers_browser import OPENER, get
from PIL import Image

import zoo
from zoo.cli.newest import runs_below
from zoo.core.errors import ZooError
from zoo.explore.latents import sefa
from zoo.explore.principal import principal
from zoo.explore.serve.gallery import SAMPLES, gallery
from zoo.explore.serve.server import MOST_BYTES, Server
from zoo.explore.serve.studio import Studio
from zoo.inference.images import to_uint8
from zoo.inference.latents import draw_seeds, interpolate
from zoo.inference.load import LoadedGenerator
from zoo.inference.locate import pretrained_names
from zoo.tasks.serve import Serve


def pixels(data):
    picture = Image.open(io.BytesIO(data))
    channels = {"L": 1, "RGB": 3}[picture.mode]
    flat = torch.tensor(list(picture.tobytes()), dtype=torch.uint8)
    return flat.view(picture.height, picture.width, channels).permute(2, 0, 1)


def expected(model, seed, label=None, truncation=None, move=0.0):
    y = None if label is None else torch.tensor([label])
    z = draw_seeds(model.generator, [seed]) + move
    return to_uint8(model.generate(z, y, truncation=truncation))[0]


def test_an_image_is_the_models(server, models):
    data = get(server, "image?raw=1&seed=7&label=5").read()
    assert torch.equal(pixels(data), expected(models[0], 7, 5))
    data = get(server, "image?raw=1&seed=7&label=5&truncation=0.5").read()
    assert torch.equal(pixels(data), expected(models[0], 7, 5, 0.5))
    data = get(server, "image?raw=1&model=1&seed=3").read()
    assert torch.equal(pixels(data), expected(models[1], 3))


def test_mix_and_directions(server, models):
    model = models[0]
    first, second = (draw_seeds(model.generator, [s]) for s in (7, 8))
    assert torch.equal(
        pixels(get(server, "image?raw=1&seed=7&seed2=8&mix=1&label=2").read()),
        expected(model, 8, 2),
    )
    half = to_uint8(model.generate(interpolate(first, second, 0.5), torch.tensor([2])))[0]
    data = get(server, "image?raw=1&seed=7&seed2=8&mix=0.5&label=2").read()
    assert torch.equal(pixels(data), half)
    directions, _ = sefa(model.generator, 6)
    data = get(server, "image?raw=1&seed=7&label=2&d0=2.5&d3=-1").read()
    move = 2.5 * directions[0] - directions[3]
    difference = pixels(data).int() - expected(model, 7, 2, move=move).int()
    assert difference.abs().max() <= 1
    found = principal(model.generator, 6, SAMPLES)
    data = get(server, "image?raw=1&seed=7&label=2&c1=-2&d0=1").read()
    move = directions[0] - 2 * found.steps[1]
    assert found.space == "z"
    difference = pixels(data).int() - expected(model, 7, 2, move=move).int()
    assert difference.abs().max() <= 1


def test_components_of_styles_move_styles():
    torch.manual_seed(0)
    generator = zoo.create(
        "generator", "stylegan2", image_size=16, channels=3, latent_dim=8, num_classes=0,
        base=256, max_channels=8, style_dim=8, noise=False,
    )  # fmt: skip
    info = {"data": {"image_size": 16, "channels": 3}, "generator": {"name": "stylegan2"}}
    studio = Studio([LoadedGenerator(generator.eval(), info, "raw", Path("a.ckpt"))])
    seen = studio.exhibits[0].open()
    assert seen.components.space == "w"
    z = draw_seeds(generator, [3])
    with torch.no_grad():
        w = generator.map(z)
        move = 2.5 * seen.components.steps[0]
        images = generator.synthesize(w + (move if w.dim() == 2 else move[None, None]))
    made = pixels(studio.render({"seed": "3", "raw": "1", "c0": "2.5"}))
    assert torch.equal(made, to_uint8(images.clamp(-1, 1))[0])
    assert not torch.equal(made, pixels(studio.render({"seed": "3", "raw": "1"})))


def test_styles_of_few_values_leave_the_other_directions(tmp_path):
    narrow = {"generator_options": {"style_dim": 3, "max_channels": 8}}
    file = make_checkpoint(tmp_path / "a.ckpt", "stylegan2", **narrow)
    described = Studio([zoo.load(file)]).describe_model({})
    assert (described["directions"], described["components"]) == (6, 0)


def test_many_images_use_seeds_in_a_row_and_a_class_each(server, models):
    data = pixels(get(server, "image?raw=1&seed=3&n=4").read())
    for i in range(4):
        row, column = divmod(i, 2)
        tile = data[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert (tile.int() - expected(models[0], 3 + i, i).int()).abs().max() <= 1


def test_models_are_described(server, models):
    found = json.load(get(server, "models"))
    names = ["a", "b", *pretrained_names()]
    assert found == {"models": names, "shown": 2, "most_bytes": MOST_BYTES}
    first, second = (json.load(get(server, f"model?model={i}")) for i in (0, 1))
    assert first["classes"] == [str(i) for i in range(10)]
    assert second["classes"] == []
    assert first["directions"] == first["components"] == 6
    assert first["file"] == "a.ckpt"
    assert str(models[0].file.parent) not in json.dumps([found, first, second])


def test_the_gallery_has_the_checkpoints_of_the_run_and_the_zoos_models(tmp_path):
    folder = tmp_path / "runs" / "blue" / "checkpoints"
    folder.mkdir(parents=True)
    made = make_checkpoint(folder / "last.ckpt")
    for i in range(1, 41):
        (folder / f"images_{1000 * i:09d}.ckpt").write_bytes(made.read_bytes())
    (folder / "previous.ckpt").write_bytes(made.read_bytes())
    exhibits = gallery([zoo.load(made)], zoo.load)
    names = [e.name for e in exhibits]
    # the one that was asked for, evenly spaced ones of its run, the zoo's own
    assert names[0] == "blue last"
    assert names[1:11] == [f"after {4000 * i:,}" for i in range(1, 11)]
    assert names[11:] == pretrained_names()
    assert exhibits[10].describe()["file"] == "blue/checkpoints/images_000040000.ckpt"


def test_the_gallery_has_the_runs_made_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, run in enumerate(("2026-11-26_15-18-45_947377", "named", "2026-11-26_15-18-59_000001")):
        file = tmp_path / "outputs" / "train" / run / "checkpoints" / "last.ckpt"
        make_checkpoint(file)
        os.utime(file, (i, i))
    runs = runs_below(tmp_path / "outputs")
    assert [run.name for run in runs] == [
        "2026-11-26_15-18-59_000001", "named", "2026-11-26_15-18-45_947377",
    ]  # fmt: skip
    near = [tmp_path / "outputs" / run / "checkpoints" / "last.ckpt" for run in runs]
    exhibits = gallery([zoo.load(near[1])], zoo.load, near)
    ours = ["named last", "15:18:59 last, 2026-11-26", "15:18:45 last, 2026-11-26"]
    assert [e.name for e in exhibits] == [*ours, *pretrained_names()]
    assert exhibits[1].describe()["file"] == str(near[0].relative_to(tmp_path))


def test_the_runs_of_a_sweep_are_named_with_it(tmp_path):
    for study in ("study", "again"):
        make_checkpoint(tmp_path / study / "3" / "checkpoints" / "last.ckpt")
    near = [tmp_path / study / "3" / "checkpoints" / "last.ckpt" for study in ("study", "again")]
    names = [e.name for e in gallery([zoo.load(near[0])], zoo.load, near)]
    assert names[:2] == ["run 3 last, study", "run 3 last, again"]


def test_a_damaged_model_of_the_gallery_is_told_without_its_folder(tmp_path):
    folder = tmp_path / "blue" / "checkpoints"
    folder.mkdir(parents=True)
    made = make_checkpoint(folder / "last.ckpt")
    (folder / "best.ckpt").write_bytes(b"nothing")
    studio = Studio(gallery([zoo.load(made)], zoo.load))
    for ask in (studio.describe_model, studio.render):
        with pytest.raises(ZooError, match=r"^blue/checkpoints/best\.ckpt") as caught:
            ask({"model": "1"})
        assert str(tmp_path) not in str(caught.value)
    assert studio.render({"model": "0"})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("seed=abc", "seed=abc is not a whole number"),
        ("seed=-1", "seed=-1"),
        ("seed=" + "9" * 5000, "seed=999"),
        ("n=1000000000", "n=1000000000 is not a whole number from 1 to 100"),
        ("label=12", "labels are 0 to 9"),
        ("label=%3Cscript%3E", "label=<script>"),
        ("model=1&label=3", "unconditional"),
        ("model=99", "model=99 is not a whole number from 0 to"),
        ("truncation=0", "truncation=0.0 must be above 0"),
        ("truncation=nan", "truncation=nan is not a number"),
        ("mix=1.5", "mix=1.5 is not a number from 0 to 1"),
        ("d0=1e9", "d0=1e9"),
        ("d9=1", "no setting 'd9'"),
        ("found=1000", "found=1000 is unknown"),
        ("found=x", "found=x is not a whole number"),
        ("colour=red", "no setting 'colour'"),
        ("&".join(f"a{i}=1" for i in range(200)), "fields"),
    ],
)
def test_bad_values_are_one_sentence(server, query, message):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "image?" + query)
    assert caught.value.code == 400
    text = json.load(caught.value)["error"]
    assert message in text
    assert len(text) < 400


def test_nothing_else_is_served(server):
    for path in ("../zoo/explore/serve/page.html", "etc/passwd", "models/x"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(server, path)
        assert caught.value.code == 404
    with pytest.raises(urllib.error.HTTPError) as caught:
        OPENER.open(server.url, data=b"x" * 1000, timeout=30)
    assert caught.value.code == 404


def test_a_foreign_host_name_is_refused(server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, "models", headers={"Host": "evil.example:80"})
    assert caught.value.code == 403
    assert get(server, "models", headers={"Host": "localhost"}).status == 200


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_a_client_that_sends_rubbish_does_not_stop_it(server):
    port = server.server_address[1]
    for rubbish in (
        b"\x00\xff" * 500 + b"\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(rubbish)
            client.recv(1000)
    for target, host, status in (("/", "[", 403), ("http://[", "localhost", 400)):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.recv(1000).startswith(f"HTTP/1.0 {status}".encode())
    idle = socket.create_connection(("127.0.0.1", port), timeout=10)
    assert get(server, "models").status == 200
    idle.close()


def test_a_port_in_use_and_other_errors(server, models, tmp_path):
    port = server.server_address[1]
    with pytest.raises(ZooError, match=f"port={port} is in use"):
        Server(Studio(models), port=port)
    with pytest.raises(ZooError, match="port=70000"):
        Server(Studio(models), port=70000)
    with pytest.raises(ZooError, match=r"cannot listen on 203\.0\.113\.7"):
        Server(Studio(models), host="203.0.113.7", port=0)
    with pytest.raises(ZooError, match="there is no checkpoint"):
        Serve("nowhere.ckpt")(tmp_path)


def test_ctrl_c_ends_it_cleanly(models, tmp_path):
    code = (
        "from pathlib import Path; from zoo.tasks.serve import Serve\n"
        f"print(Serve(ckpt={str(models[0].file)!r}, port=0, device='cpu')(Path('.')), 'ended')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "serving at http://127.0.0.1:" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "ended" in out
    assert err == ""
