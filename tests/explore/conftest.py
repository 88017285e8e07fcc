"""Models, their page and a browser, for the tests of what is looked at."""

from __future__ import annotations

import threading

import pytest
from helpers import make_checkpoint
from helpers_browser import DESKTOP, PHONE, Page, chromium, resize, until

import zoo
from zoo.explore.serve.gallery import gallery
from zoo.explore.serve.server import Server
from zoo.explore.serve.studio import Studio


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ckpt")
    return [
        zoo.load(make_checkpoint(folder / "a.ckpt")),
        zoo.load(make_checkpoint(folder / "b.ckpt", "mlp", num_classes=0, channels=3)),
    ]


@pytest.fixture(scope="package")
def server(models):
    with Server(Studio(gallery(models, zoo.load), shown=2), port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    chrome = chromium(tmp_path_factory.mktemp("chromium"), downloads)
    yield chrome
    chrome.quit()


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request, browser, server):
    browser.get("about:blank")
    browser.get_log("browser")  # what the test before has left
    resize(browser, request.param)
    browser.get(server.url)
    page = Page(browser)
    until(lambda: page.shown(0) and page.shown(1), "the first images")
    return page
