"""Chromium without a window, and requests to a server on this machine."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # straight to this machine
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
    """A browser that writes downloads to `downloads`."""
    found = next((p for n in ("chromium", "google-chrome") if (p := shutil.which(n))), None)
    driver = shutil.which("chromedriver")
    if found is None or driver is None:
        pytest.fail("the page is tested in Chromium: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found
    for flag in (*_FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.downloads = downloads
    return chrome


def resize(browser: Any, size: tuple[int, int]) -> None:
    """Make the page as large as a device, a narrow one with a phone's rules for its width."""
    device = {"width": size[0], "height": size[1], "deviceScaleFactor": 1}
    device["mobile"] = size[0] < 600
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first value of `condition` that is true."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")
