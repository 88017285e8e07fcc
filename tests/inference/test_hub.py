"""Publishing and fetching, with a folder and with a server that answers like the hub."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
from zoo.inference.locate import locate
from zoo.inference.publish import card, card_figures, publish
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


# A folder


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
        ({"ckpt": ckpt, "repo": "a/b", "evaluation": str(tmp_path / "no.json")}, "no result"),
    ]:
        with pytest.raises(ZooError, match=message):
            Publish(**options)(tmp_path)
    assert (tmp_path / "project" / "README.md").read_text() == "# Mine\n"
    for name in ("digits", "a/b/c", "../etc/passwd", "a b/c", ""):
        with pytest.raises(ZooError, match="must be owner/name"):
            fetch(name)


# The hub


class _Hub(BaseHTTPRequestHandler):
    """Enough of the hub's protocol for huggingface_hub: one repository in memory."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/api/models/me/digits"):
            names = [{"rfilename": name} for name in self.server.files]
            self.answer(200, {"id": "me/digits", "sha": self.commit, "siblings": names})
        elif path.startswith("/me/digits/resolve/main/"):
            content = self.server.files.get(path.rsplit("/", 1)[1])
            if content is None:
                self.answer(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
            else:
                self.answer(200, content)
        elif path.startswith("/me/digits/resolve/"):
            self.answer(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        elif path == "/":
            self.answer(200, b"")
        else:
            self.answer(404, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer hf_right":
            self.answer(401, {"error": "Invalid credentials"})
        elif self.path == "/api/repos/create":
            self.answer(200, {"url": f"{self.server.url}/me/digits", "name": "me/digits"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    value = item["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
            self.answer(
                200,
                {
                    "commitUrl": f"{self.server.url}/me/digits/commit/{self.commit}",
                    "commitOid": self.commit,
                },
            )
        else:
            self.answer(200, {})

    def answer(self, status, content, headers=None):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def hub():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        server.files = {}
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(code, home, **environment):
    """Python with an empty cache of the hub's client, which reads its settings when imported."""
    settings = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))},
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        **environment,
    }
    header = (
        "import zoo\nfrom zoo.core.errors import ZooError\n"
        "from zoo.inference.publish import publish\n"
    )
    return subprocess.run(
        [sys.executable, "-c", header + code],
        env=settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_push_and_pull_through_the_real_client(hub, model, tmp_path):
    code = (
        f"model = zoo.load({str(model.file)!r})\n"
        "summary = publish(model, 'me/digits', dtype='fp32')\n"
        "assert summary['published'].endswith('/me/digits'), summary\n"
        "again = zoo.load('hf:me/digits')\n"
        "assert (again.sample(4, label=5) - model.sample(4, label=5)).abs().max() == 0\n"
        "for name in ('hf:me/nothing', 'hf:me/digits@v9'):\n"
        "    try:\n        zoo.load(name)\n"
        "    except ZooError as error:\n        print(error)\n"
    )
    done = run(code, tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="hf_right")
    assert done.returncode == 0, done.stderr
    assert "hf:me/nothing cannot be loaded: the hub has no model me/nothing" in done.stdout
    assert "hf:me/digits cannot be loaded: there is no such revision" in done.stdout
    assert sorted(hub.files) == FILES
    # Found again without a network; what was never fetched is one sentence.
    code = (
        "print(zoo.load('hf:me/digits'))\n"
        "try:\n    zoo.load('hf:me/other')\n"
        "except ZooError as error:\n    print(error)\n"
    )
    done = run(code, tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "LoadedGenerator(dcgan" in done.stdout
    assert "me/other has not been downloaded before" in done.stdout


def test_without_login_or_network_the_sentence_says_so(hub, model, tmp_path):
    code = (
        f"model = zoo.load({str(model.file)!r})\n"
        "for act in (lambda: publish(model, 'me/digits'), lambda: zoo.load('hf:me/digits')):\n"
        "    try:\n        act()\n"
        "    except ZooError as error:\n        print(error)\n"
    )
    done = run(code, tmp_path / "a", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_right")
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout + done.stderr
    assert all("the Hugging Face hub cannot be reached from here" in line for line in lines)
    done = run(code, tmp_path / "b", HF_ENDPOINT=hub.url, HF_TOKEN="hf_wrong")
    assert "hf auth login" in done.stdout.splitlines()[0], done.stdout + done.stderr
