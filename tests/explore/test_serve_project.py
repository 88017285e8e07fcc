"""A picture uploaded to the page: its latent, what bounds the search, and the page itself."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import urllib.error
import urllib.request

import pytest
import torch
from helpers import small_checkpoint
from helpers_browser import OPENER, get, until
from PIL import Image

import zoo
import zoo.explore.serve.server as server_module
import zoo.explore.serve.studio as studio_module
from zoo.core.errors import ZooError
from zoo.explore.serve.finds import MOST_FINDS, Find, Finds
from zoo.explore.serve.gallery import gallery
from zoo.explore.serve.server import MOST_BYTES, UPLOADED
from zoo.explore.serve.studio import MOST_PIXELS, Studio
from zoo.inference.images import to_pil, to_uint8
from zoo.inference.latents import draw_seeds, interpolate

QUICK = {"steps": 60, "candidates": 64, "seconds": 60.0, "noise": False, "features": False}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(studio_module, "PROJECTION", QUICK)


def png(image):
    data = io.BytesIO()
    to_pil(to_uint8(image)[0]).save(data, format="PNG")
    return data.getvalue()


def pixels(data):
    picture = Image.open(io.BytesIO(data))
    flat = torch.tensor(list(picture.tobytes()), dtype=torch.uint8)
    return flat.view(picture.height, picture.width, -1).permute(2, 0, 1)


def of_address(address):
    return pixels(base64.b64decode(address.removeprefix("data:image/png;base64,")))


def post(server, path, body, **headers):
    given = {"Content-Type": UPLOADED, **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(server.url + path, data=body, headers=given)
    return OPENER.open(request, timeout=60)


def refused(server, path, body, **headers):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(server, path, body, **headers)
    text = caught.value.read().decode()
    return caught.value.code, json.loads(text)["error"] if text.startswith("{") else text


def test_a_picture_of_its_own_is_found_and_shown(server, models):
    target = models[0].generate(draw_seeds(models[0].generator, [5]), torch.tensor([4]))
    answer = post(server, "project?model=0&label=4", png(target))
    news = [json.loads(line) for line in answer]
    assert torch.equal(of_address(news[0]["target"]), to_uint8(target)[0])
    shares = [n["done"] for n in news]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any("image" in n for n in news)
    last = news[-1]
    assert last["label"] == "4"
    assert last["error"] < last["drawn"]
    z = torch.tensor([last["latent"]["z"]])
    assert "offset of the style" not in last["latent"]
    found = f"image?raw=1&label=4&found={last['found']}"
    made = to_uint8(models[0].generate(z, torch.tensor([4])))[0]
    assert torch.equal(pixels(get(server, found).read()), made)
    # its interpolation and its sliders start from it
    half = interpolate(z, draw_seeds(models[0].generator, [8]), 0.5)
    wanted = to_uint8(models[0].generate(half, torch.tensor([4])))[0]
    assert torch.equal(pixels(get(server, found + "&seed2=8&mix=0.5").read()), wanted)
    assert not torch.equal(pixels(get(server, found + "&d0=3").read()), made)
    assert not torch.equal(pixels(get(server, found + "&truncation=0.3").read()), made)
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(server, f"image?model=1&found={last['found']}")
    assert "latent of another model" in json.load(caught.value)["error"]


@pytest.mark.parametrize("name", ["stylegan2", "gat"])
def test_styles_are_found_as_an_offset_from_a_latent(tmp_path, name):
    """At the end of the way and without truncation it is the found picture, at 0 the mean's."""
    model = zoo.load(small_checkpoint(tmp_path / "a.ckpt", name))
    studio = Studio([model])
    told = []
    studio.project({"label": "1"}, png(model.sample(1, label=1, seed=3)), told.append)
    last = told[-1]
    z = torch.tensor([last["latent"]["z"]])
    offset = torch.tensor([last["latent"]["offset of the style"]])
    assert offset.abs().max() > 0
    y = torch.tensor([1])
    with torch.no_grad():
        w = model.generator.map(z, y)
        style = w + (offset[:, None] if w.dim() == 3 else offset)
        whole = to_uint8(model.generator.synthesize(style, y).clamp(-1, 1))[0].int()
    query = {"found": str(last["found"]), "label": "1", "raw": "1"}
    assert (pixels(studio.render(query)).int() - whole).abs().max() <= 1
    mean = to_uint8(model.generate(z, y, truncation=0.0))[0].int()
    assert (pixels(studio.render({**query, "truncation": "0"})).int() - mean).abs().max() <= 1
    # interpolated to the end it is the other latent's picture, without a trace of the offset
    other = to_uint8(model.generate(draw_seeds(model.generator, [8]), y))[0].int()
    far = pixels(studio.render({**query, "seed2": "8", "mix": "1"})).int()
    assert (far - other).abs().max() <= 1


def test_uploads_are_bounded(server, monkeypatch):
    assert refused(server, "project", b"x", Content_Type="text/plain")[0] == 415
    assert refused(server, "project", b"")[0] == 413
    assert refused(server, "elsewhere", b"x") == (404, "uploads to /elsewhere are not accepted.")
    code, text = refused(server, "project", b"no picture")
    assert code == 400
    assert text.startswith("the picture cannot be read as a picture")
    assert refused(server, "project?model=1&label=3", b"x") == (
        400,
        "label=3: this model is unconditional.",
    )
    assert "no setting 'seed'" in refused(server, "project?seed=3", b"x")[1]
    monkeypatch.setattr(server_module, "MOST_BYTES", 100)
    code, text = refused(server, "project", bytes(101))
    assert code == 413
    assert "101 bytes is not accepted" in text
    port = server.server_address[1]
    for line, status in (("", 411), (f"Content-Length: {MOST_BYTES * 10**6}\r\n", 413)):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            head = f"POST /project HTTP/1.1\r\nHost: localhost\r\nContent-Type: {UPLOADED}\r\n"
            client.sendall(f"{head}{line}\r\n".encode())
            assert client.recv(100).startswith(f"HTTP/1.0 {status}".encode())


def test_a_picture_of_too_many_pixels_is_not_decoded(server):
    """A few kilobytes that claim more pixels than are taken."""
    data = io.BytesIO()
    Image.new("1", (8192, MOST_PIXELS // 8192 + 1)).save(data, format="PNG")
    assert len(data.getvalue()) < 100_000
    code, text = refused(server, "project", data.getvalue())
    assert code == 400
    assert "8192 × 4097 pixels exceed the limit of 34 million" in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_no_other_site_uploads(server, headers):
    assert refused(server, "project", b"x", **headers)[0] == 403


def test_one_picture_at_a_time_and_others_are_served(server, models, monkeypatch):
    """While one is searched for, a second is told to wait; a client that leaves ends its search."""
    monkeypatch.setattr(studio_module, "PROJECTION", {**QUICK, "steps": 10**6})
    body = png(models[0].sample(1, seed=1))
    answer = post(server, "project", body)
    assert "target" in json.loads(answer.readline())
    code, text = refused(server, "project", body)
    assert (code, text) == (503, "another picture is being projected: try again soon.")
    assert get(server, "image?seed=3").status == 200
    answer.close()
    until(lambda: not server.projecting.locked(), "the end of a search nobody waits for")


def test_an_upload_that_never_ends_is_left(server, monkeypatch):
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.5)
    head = f"POST /project HTTP/1.1\r\nHost: localhost\r\nContent-Type: {UPLOADED}\r\n"
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=30) as client:
        client.sendall(f"{head}Content-Length: 1000\r\n\r\nabc".encode())
        assert client.recv(100) == b""
    until(lambda: not server.projecting.locked(), "the place of the upload")


def test_a_failure_of_the_search_is_the_last_line(server, models, monkeypatch):
    def project(*given, **options):
        raise ZooError("it went wrong.")

    monkeypatch.setattr(type(models[0]), "project", project)
    lines = list(post(server, "project", png(models[0].sample(1))))
    assert json.loads(lines[-1]) == {"error": "it went wrong."}


def test_the_newest_finds_are_kept():
    finds = Finds()
    numbers = [finds.keep(Find(0, torch.full((1, 2), float(i)), None)) for i in range(20)]
    assert finds.get(numbers[-1], 0).z[0, 0] == 19
    with pytest.raises(ZooError, match=f"the last {MOST_FINDS} latents are"):
        finds.get(numbers[20 - MOST_FINDS - 1], 0)


def test_only_models_that_follow_gradients_of_pictures_offer_it(tmp_path, models):
    assert gallery(models, zoo.load)[0].describe()["projects"] is True
    two = zoo.load(small_checkpoint(tmp_path / "a.ckpt", "mlp", channels=2))
    assert gallery([two], zoo.load)[0].describe()["projects"] is False
    with pytest.raises(ZooError, match="1 or 3 channels, but this model's images have 2"):
        Studio([two]).project({}, b"x", print)


# The page itself


def until_found(page):
    until(lambda: page.run("return Boolean(find)"), "the found latent")


def test_a_picture_is_projected_and_its_latent_goes_on(page, models, tmp_path):
    """Original and projection side by side, sliders and loop from the latent, and back again."""
    picture = tmp_path / "my picture.png"
    picture.write_bytes(png(models[0].sample(1, label=6, seed=3)))
    page.find("upload").send_keys(str(picture))
    until_found(page)
    until(lambda: page.settings().get("found"), "the picture of the latent")
    assert page.settings()["n"] == "1"
    assert page.settings(1)["seed"] == "0"  # the other model's latents are drawn
    target, found = page.find("target").rect, page.find("pane-0").rect
    assert target["x"] >= 0
    assert target["x"] + target["width"] <= found["x"]
    assert target["y"] == found["y"]
    assert page.run("return document.documentElement.scrollWidth") == page.run("return innerWidth")
    assert page.run("return getComputedStyle(target.querySelector('progress')).display") == "none"
    assert "found with an error of" in page.find("about").get_attribute("textContent")
    before = page.shown()
    page.run("d0.value = 3; d0.dispatchEvent(new Event('input', {bubbles: true}))")
    page.changed(before)
    page.run("set('d0', 0); set('morph', 8); return update()")
    page.settled(seed2="100", mix="0.5")
    assert page.settings()["found"]
    page.run("set('morph', 24); return update()")
    page.settled(seed="100", seed2="200", mix="0.5")
    page.run("set('morph', 60); return update()")
    page.settled(seed2="300", mix="0.25")  # back to the latent it began with
    assert page.settings()["found"]
    page.run("set('morph', 0); return update()")
    page.find("seeds").click()
    told = json.loads(page.downloaded("a_found.json"))
    assert told["pictures"][0]["latent"] == "found"
    assert told["found"]["picture"] == "my picture.png"
    z, label = torch.tensor([told["found"]["z"]]), told["pictures"][0]["label"]
    made = to_uint8(models[0].generate(z, torch.tensor([int(label)])))[0]
    page.find("save").click()
    assert torch.equal(pixels(page.downloaded("a_found.png")), made)
    page.find("forget").click()
    page.settled(seed="0")
    assert not page.find("target").is_displayed()


_DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], arguments[1]));
const drop = (type) => document.body.dispatchEvent(
  new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
drop("dragover");
const seen = document.body.classList.contains("dropping");
drop("drop");
return seen && !document.body.classList.contains("dropping");
"""


def drop(page, data, name="a.png"):
    return page.run(_DROP, base64.b64encode(data).decode(), name)


def test_a_dropped_picture_and_what_is_none(page, models):
    assert drop(page, b"no picture")
    until(lambda: "cannot be read" in page.find("target_message").text, "the sentence")
    assert drop(page, png(models[0].sample(1, seed=3)))
    until_found(page)
    assert page.find("target_message").text == ""
    page.press("r")  # another seed: drawn latents again
    until(lambda: "found" not in page.settings(), "drawn latents")
    logged = page.driver.get_log("browser")
    assert [entry for entry in logged if "status of 400" not in entry["message"]] == []


def test_progress_is_shown_and_a_search_is_given_up_for_another(page, models, monkeypatch):
    monkeypatch.setattr(studio_module, "PROJECTION", {**QUICK, "steps": 10**6, "seconds": 600.0})
    drop(page, png(models[0].sample(1, seed=3)))
    until(lambda: page.find("target_name").text.startswith("Searching"), "the progress")
    until(lambda: page.run("return way.naturalWidth && !way.hidden"), "the picture so far")
    before = page.shown()
    page.run("set('seed', 5); return update()")  # the page goes on being one to play with
    page.changed(before)
    monkeypatch.setattr(studio_module, "PROJECTION", QUICK)
    drop(page, png(models[0].sample(1, seed=4)))
    until_found(page)


def test_a_search_ends_in_its_time(models):
    """Whatever steps there are, the schedule is drawn together to the seconds given."""
    told = []
    target = models[0].sample(1, seed=3)
    found = models[0].project(
        target, **{**QUICK, "steps": 10**9, "seconds": 1.0}, watch=lambda d, i: told.append((d, i))
    )
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all(image.shape == target.shape for _, image in told)
    assert found.frames.shape[1] == 8
    assert (found.errors < found.first_errors).all()
    with pytest.raises(ZooError, match=r"seconds=0\.0 must be above 0"):
        models[0].project(target, seconds=0)


def test_a_watch_that_raises_ends_the_search(models):
    called = threading.Event()

    def watch(done, image):
        called.set()
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        models[0].project(models[0].sample(1), **QUICK, watch=watch)
    assert called.is_set()
    assert all(p.requires_grad for p in models[0].generator.parameters())
