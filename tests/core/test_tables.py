"""Tables as text, character by character."""

from __future__ import annotations

from zoo.core.tables import aligned, labelled, markdown


def test_markdown():
    table = markdown(["name", "n"], [["a|b", 1], ["two\nlines", 22]])
    assert table.split("\n") == ["| name | n |", "|---|---|", "| a\\|b | 1 |", "| two lines | 22 |"]
    assert markdown(["a"], []) == "| a |\n|---|"


def test_padded_markdown():
    table = markdown(["run", "loss"], [["0", "0.25"], ["number 1", ""]], padded=True)
    assert table.split("\n") == [
        "| run      | loss |",
        "| -------- | ---- |",
        "| 0        | 0.25 |",
        "| number 1 |      |",
    ]


def test_aligned():
    table = aligned(["figure", "a model"], [["fid ↓", "12.5"], ["precision ↑", "0.7"]])
    assert table.split("\n") == [
        "figure       a model",
        "-----------  -------",
        "fid ↓           12.5",
        "precision ↑      0.7",
    ]


def test_labelled():
    assert labelled({"a": 1, "long": "x"}) == "a     1\nlong  x"
    assert labelled({}) == ""
