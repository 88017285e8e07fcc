"""A headless Chromium, and requests to a server on this machine."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # without proxies
PHONE, DESKTOP = (390, 844), (1280, 800)

_FLAGS = (
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
)


def get(server: Any, path: str, headers: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(server.url + path, headers=headers or {})
    return OPENER.open(request, timeout=30)


def chromium(profile: Path, downloads: Path) -> Any:
    """Start a browser that writes downloads to `downloads`."""
    browser = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.fail("the page is tested in Chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.downloads = downloads
    return chrome


def resize(browser: Any, size: tuple[int, int]) -> None:
    """Give the page the size of a device; a narrow one follows a phone's rules for its width."""
    device = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    device["mobile"] = size[0] < 600
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` returns a true value, and return that value."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


_SHOWN = """
const image = document.getElementById(arguments[0]);
if (!image || !image.complete || !image.naturalWidth) return "";
const canvas = document.createElement("canvas");
canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
canvas.getContext("2d").drawImage(image, 0, 0);
return canvas.toDataURL();
"""


class Page:
    """Actions of a user on the page."""

    def __init__(self, driver):
        self.driver = driver

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, name):
        from selenium.webdriver.common.by import By

        return self.driver.find_element(By.ID, name)

    def all(self, selector):
        from selenium.webdriver.common.by import By

        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def shown(self, index=0):
        return self.run(_SHOWN, f"image-{index}")

    def changed(self, before, index=0):
        return until(lambda: (now := self.shown(index)) and now != before and now, "a new image")

    def settings(self, index=0):
        """Return the settings of the image that is shown."""
        return self.run("return Object.fromEntries(panes[arguments[0]].values ?? [])", index)

    def settled(self, index=0, **wanted):
        return until(
            lambda: wanted.items() <= self.settings(index).items(), f"a picture of {wanted}"
        )

    def type(self, name, text):
        field = self.find(name)
        field.clear()
        field.send_keys(text)

    def press(self, keys):
        self.run("document.activeElement.blur()")
        self.all("body")[0].send_keys(keys)

    def pick(self, label):
        self.run("pick(arguments[0]); update()", label)

    def downloaded(self, name):
        file = self.driver.downloads / name
        # Chromium reserves the name by an empty file until the download is whole.
        until(lambda: file.exists() and file.stat().st_size > 0, f"the downloaded {name}")
        data = file.read_bytes()
        file.unlink()
        return data
