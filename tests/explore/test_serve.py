"""The page of task=serve, by HTTP and in a real browser."""

from __future__ import annotations

import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import torch
from helpers import make_checkpoint
from PIL import Image

import zoo
from zoo.core.errors import ZooError
from zoo.explore.latents import sefa
from zoo.explore.serve.server import Server
from zoo.explore.serve.studio import Studio
from zoo.inference.images import to_uint8
from zoo.inference.latents import draw_seeds, interpolate
from zoo.tasks.serve import Serve


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ckpt")
    return [
        zoo.load(make_checkpoint(folder / "a.ckpt")),
        zoo.load(make_checkpoint(folder / "b.ckpt", "mlp", num_classes=0, channels=3)),
    ]


@pytest.fixture(scope="module")
def server(models):
    with Server(Studio(models), port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # straight to this machine


def get(server, path, headers=None):
    request = urllib.request.Request(server.url + path, headers=headers or {})
    return OPENER.open(request, timeout=30)


def pixels(data):
    picture = Image.open(io.BytesIO(data))
    channels = {"L": 1, "RGB": 3}[picture.mode]
    flat = torch.tensor(list(picture.tobytes()), dtype=torch.uint8)
    return flat.view(picture.height, picture.width, channels).permute(2, 0, 1)


def expected(model, seed, label=None, truncation=None, move=0.0):
    y = None if label is None else torch.tensor([label])
    z = draw_seeds(model.generator, [seed]) + move
    return to_uint8(model.generate(z, y, truncation=truncation))[0]


# By HTTP


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


def test_many_images_use_seeds_in_a_row_and_a_class_each(server, models):
    data = pixels(get(server, "image?raw=1&seed=3&n=4").read())
    for i in range(4):
        row, column = divmod(i, 2)
        tile = data[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert (tile.int() - expected(models[0], 3 + i, i).int()).abs().max() <= 1


def test_models_are_described(server):
    first, second = json.load(get(server, "models"))
    assert first["classes"] == [str(i) for i in range(10)]
    assert second["classes"] == []
    assert first["directions"] == 6


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
        ("model=2", "model=2"),
        ("truncation=0", "truncation=0.0 must be above 0"),
        ("truncation=nan", "truncation=nan is not a number"),
        ("mix=1.5", "mix=1.5 is not a number from 0 to 1"),
        ("d0=1e9", "d0=1e9"),
        ("d9=1", "no setting 'd9'"),
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
    assert caught.value.code == 501


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
    with pytest.raises(ZooError, match="needs ckpt="):
        Serve()(tmp_path)


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


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    driver = shutil.which("chromedriver")
    if found is None or driver is None:
        pytest.fail("the page is tested in Chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found
    for flag in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        "window-size=1300,900",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    folder = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(driver)
    chrome = webdriver.Chrome(options=options, service=service)
    chrome.downloads = folder
    yield chrome
    chrome.quit()


_SHOWN = """
const image = document.getElementById(arguments[0]);
if (!image.complete || !image.naturalWidth) return "";
const canvas = document.createElement("canvas");
canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
canvas.getContext("2d").drawImage(image, 0, 0);
return canvas.toDataURL();
"""


def until(condition, what):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


@pytest.fixture
def page(browser, server):
    from selenium.webdriver.common.by import By

    browser.get(server.url)

    class Page:
        driver = browser

        def find(self, name):
            return browser.find_element(By.ID, name)

        def shown(self, index=0):
            return browser.execute_script(_SHOWN, f"image-{index}")

        def changed(self, before, index=0):
            return until(
                lambda: (now := self.shown(index)) and now != before and now, "a new image"
            )

        def type(self, name, text):
            field = self.find(name)
            field.clear()
            field.send_keys(text)

        def download_link(self, **wanted):
            """The link of what is shown, once it has these values."""

            def link():
                href = self.find("download-0").get_attribute("href") or ""
                values = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(href).query))
                return wanted.items() <= values.items() and href

            return until(link, f"a picture of {wanted}")

    page = Page()
    until(lambda: page.shown(0) and page.shown(1), "the first images")
    return page


def test_page_loads_offline_without_errors(page, server):
    assert page.driver.title == "GAN zoo"
    urls = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert urls
    assert all(u.startswith((server.url, "blob:", "data:")) for u in urls), urls
    assert page.driver.get_log("browser") == []
    assert page.find("message-0").text == ""


def test_sliders_change_the_image(page):
    from selenium.webdriver.common.keys import Keys

    for name in ("seed_slider", "truncation", "d0", "mix", "n"):
        before = page.shown()
        key = Keys.ARROW_LEFT if name == "truncation" else Keys.ARROW_RIGHT
        page.find(name).send_keys(key * 3)
        page.changed(before)
    assert page.find("seed").get_attribute("value") == "3"
    before = page.shown()
    page.find("reset").click()
    page.changed(before)
    assert page.find("seed").get_attribute("value") == "0"
    assert page.find("d0").get_attribute("value") == "0"


def test_a_label_gives_that_label(page, models):
    from selenium.webdriver.support.ui import Select

    Select(page.find("label")).select_by_visible_text("5")
    page.type("seed", "7")
    page.driver.execute_script("n.value = 1; n.dispatchEvent(new Event('input', {bubbles: true}))")
    link = page.download_link(label="5", seed="7", n="1")
    data = OPENER.open(link, timeout=30).read()
    assert torch.equal(pixels(data), expected(models[0], 7, 5))
    page.find("download-0").click()
    file = page.driver.downloads / "seed7_model0.png"
    until(file.exists, "the downloaded file")
    assert torch.equal(pixels(file.read_bytes()), expected(models[0], 7, 5))
    until(lambda: "unconditional" in page.find("message-1").text, "the message of the other model")


def test_a_bad_value_gives_a_message_that_goes_away(page):
    page.type("seed", "abc")
    until(lambda: "seed=abc is not a whole number" in page.find("message-0").text, "the message")
    assert "stale" in page.find("pane-0").get_attribute("class")
    page.type("seed", "12")
    until(lambda: page.find("message-0").text == "", "the message to go")
    assert page.find("seed_slider").get_attribute("value") == "12"


def test_two_models_side_by_side(page):
    first, second = page.find("pane-0").rect, page.find("pane-1").rect
    assert first["x"] + first["width"] <= second["x"]
    assert page.shown(0) != page.shown(1)
