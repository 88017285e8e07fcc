"""The video of a training: frames at growing distances, one video over all continuations."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_train import train
from PIL import Image

from zoo.core.errors import ZooError
from zoo.training.callbacks import video as module
from zoo.training.callbacks.video import Video, spread

CHOSEN = ("+callback=video", "callbacks.video.first=32", "callbacks.video.growth=1.5",
          "callbacks.video.scale=2")  # fmt: skip


def frames(run: Path) -> list[int]:
    return [int(p.stem.rpartition("_")[2]) for p in sorted((run / "video").iterdir())]


def test_frames_grow_apart_and_the_video_shows_each(tmp_path):
    summary = train(tmp_path, *CHOSEN, "callbacks.video.seconds=2", "trainer.max_steps=15")
    assert frames(tmp_path) == [0, 32, 48, 80, 112, 176, 240]  # the first step at 32 * 1.5^k
    assert summary["video"] == str(tmp_path / "video.gif")
    with Image.open(tmp_path / "video.gif") as video:
        assert video.n_frames >= 7
        lasts = []
        for i in range(video.n_frames):
            video.seek(i)
            lasts.append(video.info["duration"])
        assert 3900 < sum(lasts) < 4200  # two seconds, and two more of the last frame
        assert video.size == Image.open(next((tmp_path / "video").iterdir())).size


def test_a_training_that_is_continued_has_the_video_of_one_that_never_stopped(tmp_path):
    train(tmp_path / "whole", *CHOSEN, "trainer.max_steps=15")
    train(tmp_path / "parts", *CHOSEN, "trainer.max_steps=10")
    late = tmp_path / "parts" / "video" / "images_000000000999.png"
    Image.new("L", (8, 8)).save(late)  # behind the checkpoint, as after a kill
    train(tmp_path / "parts", f"resume={tmp_path / 'parts'}", "trainer.max_steps=15")
    assert set(frames(tmp_path / "parts")) - {160} == set(frames(tmp_path / "whole"))
    for frame in (tmp_path / "whole" / "video").iterdir():
        assert frame.read_bytes() == (tmp_path / "parts" / "video" / frame.name).read_bytes()


def test_it_can_be_webp_in_a_rhythm(tmp_path):
    rhythm = ("callbacks.video.every_n_images=50", "callbacks.video.format=webp")
    train(tmp_path, *CHOSEN, *rhythm, "trainer.max_steps=10", "model.conditional=false")
    assert frames(tmp_path) == [0, 64, 112, 160]
    with Image.open(tmp_path / "video.webp") as video:
        assert video.n_frames == 4


def test_an_mp4_without_ffmpeg_is_told_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ZooError, match="an mp4 needs the program ffmpeg"):
        Video(str(tmp_path), format="mp4")


@pytest.mark.parametrize("option", [{"growth": 1.0}, {"format": "avi"}, {"rows": 5000}])
def test_wrong_options_are_told(option, tmp_path):
    import zoo

    with pytest.raises(ZooError, match=next(iter(option))):
        zoo.create("callback", "video", folder=str(tmp_path), **option)
    assert Video(str(tmp_path)).summary() == {}


@pytest.mark.parametrize("growth", [1.1, 1.5, 1 + 1e-9])
def test_the_next_frame_lies_behind_what_was_seen(tmp_path, growth):
    video = Video(str(tmp_path), growth=growth, first=100)
    assert video._next(0) == video._next(99) == 100
    for seen in (100, 12_345, 10**9):
        due = video._next(seen)
        assert seen < due <= seen * growth * (1 + 1e-6)


def test_frames_are_taken_at_even_distances_and_the_last_one_always():
    files = [Path(str(i)) for i in range(10)]
    assert spread(files, 10) == spread(files, 99) == files
    assert [f.name for f in spread(files, 5)] == ["1", "3", "5", "7", "9"]
    assert [f.name for f in spread(files, 3)] == ["2", "5", "9"]
    assert [f.name for f in spread(files, 1)] == [f.name for f in spread(files, 0)] == ["9"]


def test_a_video_holds_no_more_frames_than_it_can_show_or_memory_takes(tmp_path, monkeypatch):
    """A frame at every step of a long training would be thousands, all in memory at its end."""
    rhythm = ("callbacks.video.every_n_images=16", "callbacks.video.scale=1")
    given = (*CHOSEN, *rhythm, "callbacks.video.seconds=0.2", "trainer.max_steps=25")
    read = []
    original = module._read
    monkeypatch.setattr(module, "_read", lambda file: read.append(file) or original(file))
    train(tmp_path, *given)
    assert len(frames(tmp_path)) == 26
    assert len(read) == 10  # fifty a second
    assert read[-1].stem == "images_000000000400"
    with Image.open(read[-1]) as picture:
        pixels = picture.width * picture.height
    newest = read.pop()
    read.clear()
    monkeypatch.setattr(module, "FRAMES_MEMORY", 4 * pixels)
    (tmp_path / "video" / "images_000000000016.png").write_bytes(b"damaged")
    (tmp_path / "video" / "images_best.png").write_bytes(newest.read_bytes())  # of nobody's
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=26")
    assert len(read) == 4
    assert (tmp_path / "video.gif").is_file()
