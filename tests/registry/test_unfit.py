"""Plugins whose methods cannot take the arguments of their base class's."""

from __future__ import annotations

import pytest

from zoo.core.errors import ZooError


@pytest.mark.parametrize(
    ("kind", "base", "body", "words"),
    [
        ("loss", "Loss", "def discriminator(self, real): ...",
         r"\(self, real\), which cannot be called as discriminator\(self, real, fake\)"),
        ("loss", "Loss", "def generator(self): ...", r"generator\(self, fake, real=None\)"),
        ("regularizer", "Regularizer", "def forward(self): ...", r"forward\(self, update\)"),
        ("generator", "Generator", "def synthesize(self, w, y, z): ...", "synthesize"),
    ],
)  # fmt: skip
def test_a_method_that_cannot_be_called_is_told_when_the_part_is_made(
    drop, kind, base, body, words
):
    source = f"import zoo\n@zoo.{kind}('unfit')\nclass Unfit(zoo.{base}):\n    {body}\n"
    with pytest.raises(ZooError, match=rf"extra/unfit.py\) defines .*{words}"):
        drop(unfit=source).get(kind, "unfit").load()


@pytest.mark.parametrize("arguments", ["fake", "fake, real", "fake, real=None", "*scores"])
def test_a_method_may_take_optional_arguments_or_not(drop, arguments):
    source = f"""
        import zoo

        @zoo.loss("fits")
        class Fits(zoo.Loss):
            def discriminator(self, real, fake): ...
            def generator(self, {arguments}): ...
    """
    assert drop(fits=source).get("loss", "fits").load()
