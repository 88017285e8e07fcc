"""Publishing on the Hugging Face hub and fetching from it, by its own client on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import make_checkpoint

import zoo

FILES = ["README.md", "generator.json", "generator.safetensors", "samples.png"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return zoo.load(make_checkpoint(folder / "checkpoints" / "last.ckpt"))


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
