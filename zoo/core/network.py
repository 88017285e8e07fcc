"""Checking whether servers answer, since downloads by other packages have no timeout."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence

PROBE_SECONDS = 5.0
"""How long a server may take to answer before it counts as unreachable."""


def probe(urls: Sequence[str]) -> None:
    """Return as soon as one of the servers answers, even with an HTTP error.

    Proxies set in the environment are used.

    Raises:
        OSError: No server answers; this is the error of the last one.
    """
    problem: OSError = OSError("there are no servers to try")
    for url in urls:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            problem = error
    raise problem


def reachable(url: str) -> bool:
    """Whether the server of `url` answers."""
    try:
        probe([url])
    except OSError:
        return False
    return True
