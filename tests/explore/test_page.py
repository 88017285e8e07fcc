"""The page of task=serve in a real browser, as wide as a phone and as a desk's screen."""

from __future__ import annotations

import io
import json

import pytest
import torch
from helpers import make_checkpoint
from helpers_browser import DESKTOP, OPENER, PHONE, resize, until
from PIL import Image

from zoo.inference.images import to_uint8
from zoo.inference.latents import draw_seeds
from zoo.inference.locate import pretrained_names
from zoo.tasks.explore import Explore


def pixels(data):
    picture = Image.open(io.BytesIO(data))
    flat = torch.tensor(list(picture.tobytes()), dtype=torch.uint8)
    return flat.view(picture.height, picture.width, -1).permute(2, 0, 1)


def visible(page, name):
    """How much of an element's area is seen without scrolling, on top of everything else."""
    return page.run(
        """
        const box = document.getElementById(arguments[0]).getBoundingClientRect();
        let seen = 0;
        for (let i = 0.5; i < 8; i++) for (let j = 0.5; j < 8; j++) {
          const x = box.left + box.width * i / 8, y = box.top + box.height * j / 8;
          const top = document.elementFromPoint(x, y);
          if (top?.closest(".frame")) seen++;
        }
        return seen / 64;""",
        name,
    )


def test_page_loads_offline_without_errors(page, server):
    assert page.driver.title == "GAN zoo"
    urls = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert urls
    assert all(u.startswith((server.url, "blob:", "data:")) for u in urls), urls
    assert page.driver.get_log("browser") == []
    assert page.find("message-0").text == ""


def test_pictures_are_seen_first_and_while_a_slider_moves(page):
    """Whatever control is scrolled to, the pictures stay in sight and nothing is cut off."""
    width = page.run("return innerWidth")
    assert page.run("return document.documentElement.scrollWidth") == width
    assert visible(page, "image-0") == visible(page, "image-1") == 1
    for slider in page.all("input[type=range]"):
        page.run("arguments[0].scrollIntoView({block: 'end'})", slider)
        assert visible(page, "image-0") == visible(page, "image-1") == 1
        box = slider.rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.run("scrollTo(0, document.body.scrollHeight)")
    assert visible(page, "image-0") == 1


def test_sliders_change_the_image(page):
    from selenium.webdriver.common.keys import Keys

    for name in ("seed_slider", "truncation", "d0", "c0", "morph", "n"):
        before = page.shown()
        key = Keys.ARROW_LEFT if name == "truncation" else Keys.ARROW_RIGHT
        page.run("arguments[0].scrollIntoView({block: 'end'})", page.find(name))
        page.find(name).send_keys(key * 3)
        page.changed(before)
    assert page.find("seed").get_attribute("value") == "3"
    before = page.shown()
    page.run("document.getElementById('reset').click()")
    page.changed(before)
    assert page.find("seed").get_attribute("value") == "0"
    assert page.find("d0").get_attribute("value") == page.find("c0").get_attribute("value") == "0"


def test_a_class_gives_that_class_and_the_picture_is_downloaded(page, models):
    next(chip for chip in page.all("#classes label") if chip.text == "5").click()
    page.type("seed", "7")
    page.run("n.value = 1; n.dispatchEvent(new Event('input', {bubbles: true}))")
    page.settled(label="5", seed="7", n="1")
    z, y = draw_seeds(models[0].generator, [7]), torch.tensor([5])
    made = to_uint8(models[0].generate(z, y))[0]
    page.find("save").click()
    assert torch.equal(pixels(page.downloaded("a_seed7.png")), made)
    page.settled(1, seed="7", n="1")
    assert "label" not in page.settings(1)  # the other one is unconditional


def test_the_seeds_are_downloaded(page, server, models):
    page.type("seed", "20")
    page.run("set('morph', 20); update()")
    page.settled(seed="120", seed2="220", mix="0.25")
    page.find("seeds").click()
    told = json.loads(page.downloaded("a_seed120.json"))
    page.all("#pane-1 h2 button")[0].click()  # the other pane's
    page.find("seeds").click()
    assert json.loads(page.downloaded("b_seed120.json"))["pictures"][0] == {
        "seed": 120,
        "seed2": 220,
        "mix": 0.25,
    }
    assert told["file"] == "a.ckpt"
    assert len(told["pictures"]) == 16
    assert told["pictures"][11] == {"seed": 131, "seed2": 231, "mix": 0.25, "label": "1"}
    data = OPENER.open(server.url + told["address"], timeout=30).read()
    assert pixels(data).shape == (1, 64, 64)


def test_the_loop_goes_round_and_comes_back(page):
    """It passes four seeds and ends where it began; the second time round nothing is asked for."""
    seen = []
    page.find("play").click()
    until(lambda: seen.append(page.settings().get("mix")) or len(set(seen)) > 3, "moving pictures")
    assert page.find("play").get_attribute("aria-pressed") == "true"
    page.press(" ")
    until(lambda: page.find("play").get_attribute("aria-pressed") == "false", "a pause")
    page.run("set('morph', 64); return update()")
    assert page.settings()["seed"] == "0"
    assert "mix" not in page.settings()
    page.run("set('morph', 63); return update()")
    page.settled(seed="300", seed2="0", mix="0.9375")
    asked = """return performance.getEntriesByType('resource')
        .filter((entry) => entry.name.includes('n=16')).length"""
    before = page.run(asked)
    page.run("set('morph', 64); return update()")
    page.settled(seed="0")
    assert page.run(asked) == before


def test_the_gallery_changes_the_model(page):
    cards = page.all("#gallery button")
    assert [card.text for card in cards] == ["a", "b", *pretrained_names()]
    until(
        lambda: page.run(
            "return [...document.images].every((i) => i.naturalWidth || !i.checkVisibility())"
        ),
        "small pictures",
    )
    last = len(cards) - 1
    cards[last].click()
    page.settled(model=str(last))
    assert page.settings(1)["model"] == "1"
    assert cards[last].get_attribute("aria-checked") == "true"
    assert inside(page, ["#gallery", "#gallery [aria-checked=true]"])
    page.press("c")  # one model again
    until(lambda: len(page.all(".pane")) == 1, "one pane")
    page.press("m")
    page.settled(model="0")


def inside(page, selectors):
    """Whether the second element lies within the first, from left to right."""
    return page.run(
        """
        const [outer, inner] = arguments[0].map((selector) =>
          document.querySelector(selector).getBoundingClientRect());
        return inner.left >= outer.left - 1 && inner.right <= outer.right + 1;""",
        selectors,
    )


def test_every_button_has_its_word_and_the_class_chosen_is_seen(page):
    for button in page.all("#bar button"):
        if button.is_displayed():
            assert button.text.strip(), button.get_attribute("title")
            assert page.run("return arguments[0].scrollWidth <= arguments[0].clientWidth", button)
    page.run("pick(panes[0].model.classes.at(-1)); return update()")
    assert inside(page, [".chips", ".chips label:has(:checked)"])


def test_a_picture_is_shown_alone_and_all_again(page):
    tile = page.all("#pane-0 .tiles button")[6]
    assert tile.get_attribute("title") == "seed 6, class 6"
    tile.click()
    page.settled(seed="6", label="6", n="1")
    page.all("#pane-0 .tiles button")[0].click()
    page.settled(seed="0", n="16")


def test_keys(page):
    from selenium.webdriver.common.keys import Keys

    page.press(Keys.ARROW_RIGHT * 2)
    page.settled(seed="2")
    page.press("7")
    page.settled(label="7")
    page.press("a")
    until(lambda: "label" not in page.settings(), "one of each")
    page.press("+")
    page.settled(n="25")
    page.press("r")
    page.press(Keys.ESCAPE)
    page.settled(seed="0", n="16")
    page.type("seed", "12")  # digits in a field are the field's
    page.settled(seed="12")
    assert "label" not in page.settings()


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


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_report_is_as_wide_as_its_screen_and_names_no_folders(browser, tmp_path, size):
    folder = tmp_path / "a_folder_with_a_long_name" / ("x" * 60) / "checkpoints"
    folder.mkdir(parents=True)
    names = [f"a_class_with_a_long_name_{i}" for i in range(10)]
    file = make_checkpoint(folder / "last.ckpt", class_names=names)
    Explore(str(file), n=16, n_real=64, device="cpu")(tmp_path)
    report = tmp_path / "report.html"
    assert str(tmp_path) not in report.read_text(encoding="utf-8")
    resize(browser, size)
    browser.get(report.as_uri())
    width, needed = browser.execute_script(
        "return [innerWidth, document.documentElement.scrollWidth]"
    )
    assert width == size[0]
    assert needed <= width
    assert browser.execute_script("return [...document.images].every((i) => i.naturalWidth)")
