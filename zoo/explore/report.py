"""Reports: self-contained HTML files with images, metrics and plots, which work offline."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.core.atomic import write_text

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { margin-bottom: 0; line-height: 1.2; } h2 { margin-top: 2.5rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .5rem; }
@media (min-width: 62rem) { img.pixels { image-rendering: pixelated; } }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; }
th { font-weight: 600; vertical-align: top; overflow-wrap: normal; }
.note { opacity: .75; font-size: .9rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""


@dataclass
class Section:
    """A section of a report.

    Attributes:
        name: the identifier of the section.
        title: its heading.
        text: a paragraph about its content, or the reason why it is missing.
        picture: a PNG file to show, or None.
        diagram: whether the picture is a plot, which is scaled smoothly, rather than pixels.
        lines: the items of a list.
    """

    name: str
    title: str
    text: str
    picture: Path | None = None
    diagram: bool = False
    lines: tuple[str, ...] = ()


def write_report(
    path: Path,
    title: str,
    facts: dict[str, Any],
    sections: Sequence[Section],
    figures: Sequence[dict[str, Any]] = (),
) -> Path:
    """Write a report as one HTML file.

    Args:
        path: the file to write.
        title: the title.
        facts: facts about the model, shown as a table at the top.
        sections: the sections.
        figures: for each evaluation, the metrics (`figures`: heading and value) and the protocol
            (`protocol`: field and text).

    Returns:
        `path`.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
        _table(facts),
    ]
    if figures:
        parts.append("<h2>Metrics</h2>")
    for result in figures:
        parts += [_table(result["figures"]), _protocol(result["protocol"])]
    for section in sections:
        parts.append(f'<h2 id="{section.name}">{html.escape(section.title)}</h2>')
        parts.append(f"<p>{html.escape(section.text)}</p>")
        if section.lines:
            items = "".join(f"<li>{html.escape(line)}</li>" for line in section.lines)
            parts.append(f"<ul>{items}</ul>")
        if section.picture is not None:
            parts.append(_image(section))
    parts.append("</body></html>")
    write_text(path, "\n".join(parts) + "\n")
    return path


def _table(values: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(_text(value))}</td></tr>"
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _protocol(protocol: dict[str, Any]) -> str:
    fields = {name.replace("_", " "): _text(value) for name, value in protocol.items()}
    text = "; ".join(f"{name}: {value}" for name, value in fields.items() if value)
    return f'<p class="note">Measured with {html.escape(text)}.</p>'


def _image(section: Section) -> str:
    assert section.picture is not None
    data = base64.b64encode(section.picture.read_bytes()).decode("ascii")
    # Sharp pixels are for wide screens, where images are enlarged; narrow ones reduce them.
    kind = "" if section.diagram else ' class="pixels"'
    return f'<img{kind} alt="{html.escape(section.title)}" src="data:image/png;base64,{data}">'
