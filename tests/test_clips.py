"""clips.py: parts of videos have exactly the frames that their times say."""

import collections
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_videos import counting_frames, decode_everything, frame_number, whole, write_video
from test_packets import CUT, KINDS, LENGTH, cut, kinds  # noqa: F401

from trajeval import listings, packets
from trajeval.sources import Source, fragment
from trajeval.videos import VideoError, read_clip, read_clips, read_views, sample_indices
from trajeval.views import WHOLE, View, lay_out, views_of

FPS = 25
# Kinds whose times are not i / FPS, in seconds.
TIMES = {"uneven times": [0.04 * i + i % 3 * 0.013 + i // 20 * 0.9 for i in range(LENGTH)]}


def times_of(name):
    return [Fraction(repr(round(float(at), 3))) for at in TIMES.get(name, np.arange(LENGTH) / FPS)]


def inside(times, start, end):
    return [
        i
        for i, at in enumerate(times)
        if at >= Fraction(repr(float(start or 0))) and (end is None or at < Fraction(repr(end)))
    ]


def check(path, everything, times, start, end, n):
    """One part, frame for frame."""
    part = f"{path}{fragment(start, end)}"
    expected = inside(times, start, end)
    if not expected:
        with pytest.raises(VideoError, match="no frame lies in this part; the last one is at"):
            read_clip(part, n, whole)
        return
    clip = read_clip(part, n, whole)
    chosen = [expected[i] for i in sample_indices(len(expected), n)]
    assert clip.length == len(expected) and clip.indices.tolist() == chosen
    seconds = [float(times[i] - times[expected[0]]) for i in chosen]
    assert clip.times.tolist() == pytest.approx(seconds, abs=1e-9)
    assert np.array_equal(clip.frames, everything[chosen])


@pytest.mark.parametrize("name", KINDS)
def test_a_part_has_the_frames_that_its_times_say(name, kinds):  # noqa: F811
    path, everything = kinds(name)
    for start, end, n in (
        (None, 0.4, 4),
        (0.4, 0.8, 10),  # both are times of frames: the first is inside, the last is not
        (0.39, 0.81, 32),
        (1.3, None, 7),
        (2.36, 2.37, 1),
        (1.5, 900.0, 5),
    ):
        check(path, everything, times_of(name), start, end, n)


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(KINDS)),
    start=st.none() | st.integers(0, 260).map(lambda x: x / 100),
    span=st.none() | st.integers(1, 200).map(lambda x: x / 100),
    n=st.sampled_from([1, 2, 5, 32]),
)
def test_any_part_is_exact(kinds, name, start, span, n):  # noqa: F811
    path, everything = kinds(name)
    if start is None and span is None:
        return
    end = None if span is None else round((start or 0) + span, 2)
    check(path, everything, times_of(name), start, end, n)


def test_parts_that_meet_share_no_frame_and_lose_none(tmp_path):
    """At 0.1 s, which no binary fraction is."""
    path = write_video(tmp_path / "a.mp4", counting_frames(30), fps=10)
    numbers = []
    for i in range(30):
        clip = read_clip(f"{path}#t={i / 10},{(i + 1) / 10}", 3, whole)
        assert clip.length == 1
        assert clip.warning == "only one frame in this part: all 3 frames are the same"
        numbers.append(frame_number(clip.frames[0]))
    assert numbers == list(range(30))


@pytest.mark.parametrize("file", ["late.mkv", "late.ts"])
def test_times_count_from_the_first_frame(file, tmp_path, kinds):  # noqa: F811
    path = tmp_path / file
    write_video(path, counting_frames(50), pts=[3000 + 40 * i for i in range(50)])
    clip = read_clip(f"{path}#t=0.4,0.8", 10, whole)
    assert list(map(frame_number, clip.frames)) == list(range(10, 20))


def test_a_video_that_starts_within_a_group(kinds, tmp_path):  # noqa: F811
    path = tmp_path / "cut.mkv"
    cut(kinds("open groups, mkv")[0], path, 4)
    everything = read_clip(path, 100, whole)
    clip = read_clip(f"{path}#t=0.4,0.8", 10, whole)
    assert clip.indices.tolist() == list(range(10, 20))
    first = everything.indices.tolist().index(10)
    assert np.array_equal(clip.frames[0], everything.frames[first])
    assert frame_number(clip.frames[0]) == frame_number(everything.frames[0]) + 10


def test_only_what_a_part_needs_is_decoded(kinds, monkeypatch):  # noqa: F811
    path, _ = kinds("no B-frames")  # a keyframe every 9
    decoded, demuxed = [], []
    decode, read_packets = packets.decode, packets.read_packets
    monkeypatch.setattr(packets, "decode", lambda c, p: decoded.append(p) or decode(c, p))

    def count(*arguments):
        for packet in read_packets(*arguments):
            demuxed.append(packet)
            yield packet

    monkeypatch.setattr(packets, "read_packets", count)
    clip = read_clip(f"{path}#t=1.6,1.8", 5, whole)  # frames 40 to 44
    assert list(map(frame_number, clip.frames)) == [40, 41, 42, 43, 44]
    assert sum(p is not None for p in decoded) == 9  # from 36 on
    assert len(demuxed) == 9


@pytest.mark.parametrize("fault", ["error", "later", "unlisted"])
def test_where_seeking_fails_the_packets_before_are_read(fault, kinds, monkeypatch):  # noqa: F811
    path, everything = kinds("short groups")
    read_packets, calls = packets.read_packets, []

    def misled(container, stream, stopped):
        calls.append(container)
        found = read_packets(container, stream, stopped)
        if len(calls) > 1:
            return found
        if fault == "error":
            raise packets.Damaged("cannot seek")
        if fault == "unlisted":
            next(found)  # the keyframe
            return found
        container.seek(10**6, stream=stream)
        return found

    if fault == "error":
        real = packets.av.container.InputContainer.seek

        class Unseekable:
            def __init__(self, container):
                self._container = container

            def __getattr__(self, name):
                if name == "seek":
                    raise packets.av.FFmpegError(5, "no")
                return getattr(self._container, name)

        assert real
        open_video = packets.open_video

        @packets.contextlib.contextmanager
        def unseekable(path):
            with open_video(path) as (container, stream):
                yield Unseekable(container), stream

        monkeypatch.setattr(packets, "open_video", unseekable)
    else:
        monkeypatch.setattr(packets, "read_packets", misled)
    counted = []
    monkeypatch.setattr(packets, "count_frames", lambda *a: counted.append(1))
    clip = read_clip(f"{path}#t=1.2,1.6", 10, whole)
    assert np.array_equal(clip.frames, everything[30:40]) and not counted


# Many parts


def test_one_listing_serves_all_parts_of_a_file(kinds, monkeypatch):  # noqa: F811
    a, b = (kinds(name)[0] for name in ("short groups", "open groups, mkv"))
    listed, list_packets = collections.Counter(), listings.list_packets
    monkeypatch.setattr(
        listings, "list_packets", lambda p, s: listed.update([p]) or list_packets(p, s)
    )
    parts = [f"{path}#t={i / 5},{(i + 1) / 5}" for i in range(12) for path in (a, b)]
    clips = list(read_clips(parts, 3, whole, workers=4))
    assert [clip.length for clip in clips] == [5] * 24
    assert listed == {str(a): 1, str(b): 1}


def test_the_listings_take_bounded_memory(kinds):  # noqa: F811
    paths = [str(kinds(name)[0]) for name in ("short groups", "long groups", "hevc")]
    known = listings.Listings(max_bytes=2 * 17 * LENGTH)
    first = known.of(paths[0], lambda: False)
    assert known.of(paths[0], lambda: False) is first
    for path in paths[1:]:
        known.of(path, lambda: False)
    again = known.of(paths[0], lambda: False)
    assert again is not first and np.array_equal(again.pts, first.pts)
    assert known.of(paths[2], lambda: False) is known.of(paths[2], lambda: False)


def test_a_changed_file_is_listed_again(tmp_path):
    path = str(write_video(tmp_path / "a.mp4", counting_frames(9)))
    known = listings.Listings()
    assert len(known.of(path, lambda: False).order) == 9
    write_video(path, counting_frames(12))
    os.utime(path, ns=(0, time.time_ns() + 10**9))
    assert len(known.of(path, lambda: False).order) == 12


# Bad input


def test_outside_the_video_and_no_frame_inside(tmp_path):
    path = write_video(tmp_path / "a.mp4", counting_frames(20))
    parts = ["#t=5,6", "#t=0.41,0.43", "#t=0,0.5", "#t=0.8"]
    late, between, good, end = read_clips([f"{path}{part}" for part in parts], 2)
    reason = "no frame lies in this part; the last one is at 0.76 s"
    assert str(late) == f"{path}#t=5,6: {reason}" and isinstance(late, VideoError)
    assert str(between) == f"{path}#t=0.41,0.43: {reason}"
    assert str(end) == f"{path}#t=0.8: {reason}"
    assert good.length == 13


def test_files_that_are_no_videos_are_named_with_the_part(tmp_path):
    path = tmp_path / "a.mp4"
    for message in ("No such file or directory", "is not a video"):
        (error,) = read_clips([f"{path}#t=1,2"], 2)
        assert str(error).startswith(f"{path}#t=1,2: {message}")
        path.write_text("no film\n" * 99)


def test_when_frames_are_shown(tmp_path):
    """Of frames without times, only if their rate is given."""
    frames = counting_frames(8, 32, 32)
    assert np.isnan(read_clip(frames, 4).times).all()
    assert read_clip(Source(frames, fps=10), 4).times.tolist() == [0, 0.2, 0.4, 0.6]
    assert read_clip(Source(frames, 0.1, fps=10), 3).times.tolist() == [0, 0.2, 0.4]
    path = write_video(tmp_path / "late.mkv", frames, pts=[3000 + 40 * i for i in range(8)])
    assert read_clip(path, 4).times.tolist() == [0, 0.08, 0.16, 0.24]


def test_a_video_without_times(tmp_path):
    path = write_video(tmp_path / "a.h264", counting_frames(30), format="h264")
    with pytest.raises(VideoError, match=r"has no times, which #t= needs: give .* \(--fps\)"):
        read_clip(f"{path}#t=1,2", 4)
    clip = read_clip(Source(path, 1, 2, fps=10), 10, whole)
    assert list(map(frame_number, clip.frames)) == list(range(10, 20))


@pytest.mark.parametrize("extension", ["mkv", "avi", "ts", "mp4"])
def test_damage_after_a_part_goes_unnoticed(extension, tmp_path):
    path = write_video(tmp_path / f"a.{extension}", counting_frames(30), **CUT[extension])
    everything = np.stack(decode_everything(path))
    data = Path(path).read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    length = read_clip(path, 4).length
    early = read_clip(f"{path}#t=0.12,0.32", 5, whole)
    assert early.warning is None and np.array_equal(early.frames, everything[3:8])
    late = read_clip(f"{path}#t=0.2", 4)
    if extension != "ts":  # has no end mark
        assert late.warning.startswith("damaged (") and f"first {length} " in late.warning
    with pytest.raises(VideoError, match=r"no frame lies in this part; the last one is at"):
        read_clip(f"{path}#t=1.15", 4)


# Views


def check_views(video, views, n, everything, first=0, length=None):
    """All views of a source have the frames that lay_out says, of those decoded in full."""
    ((footage),) = read_views([video], [views], n, whole)
    length = length or len(everything)
    assert list(footage.views) == views and footage.length == length
    assert len(set(footage.indices.tolist())) == len(footage.frames), "each frame once"
    for view, shots in footage.views.items():
        ticks, width = np.arange(length), 5
        layout = lay_out(view, length, n, ticks, width)
        numbers = first + layout.frames
        assert np.array_equal(footage.indices[shots.places], numbers)
        assert np.array_equal(footage.frames[shots.places], everything[numbers])
        assert np.array_equal(shots.ends, first + layout.ends)
    return footage


def all_views(how, seconds=None, k=6):
    return views_of(how, k, seconds, True, None)


@pytest.mark.parametrize("name", ["no B-frames", "open groups, mkv", "long groups"])
def test_the_views_of_a_video_are_decoded_at_once(name, kinds, monkeypatch):  # noqa: F811
    path, everything = kinds(name)
    opened, read = [], packets.decode_wanted
    monkeypatch.setattr(packets, "decode_wanted", lambda *a: opened.append(a[2]) or read(*a))
    monkeypatch.setattr("trajeval.videos.n_cores", lambda: 1)
    footage = check_views(path, all_views("prefix"), 4, everything)
    assert len(opened) == 1 and len(opened[0]) == len(footage.frames)
    shots = footage.views[View(None, "prefix", 6)]
    assert shots.end_times.tolist() == pytest.approx([i / FPS for i in shots.ends])
    assert footage.views[View("reversed")].times.tolist() == footage.views[WHOLE].times.tolist()
    assert (np.diff(shots.times, axis=1) >= 0).all()


def test_the_views_of_a_part_of_a_stack_and_of_an_array(tmp_path, kinds):  # noqa: F811
    path, everything = kinds("short groups")
    for how, seconds in (("prefix", None), ("window", 5 / FPS)):
        views = all_views(how, seconds)
        check_views(f"{path}#t=0.4,1.2", views, 3, everything, 10, 20)
        check_views(Source(everything, fps=FPS), views, 3, everything)
        check_views(Source(everything, 0.4, 1.2, fps=FPS), views, 3, everything, 10, 20)
    one = check_views(everything[:1], all_views("prefix"), 3, everything[:1])
    assert len(one.frames) == 1 and np.isnan(one.views[WHOLE].times).all()


def test_the_views_of_a_video_that_must_be_counted(tmp_path):
    path = write_video(tmp_path / "a.avi", counting_frames(30), options={"bf": "2"}, fps=10)
    everything = np.stack(decode_everything(path))
    check_views(path, all_views("prefix"), 4, everything)


def test_a_window_needs_times(tmp_path):
    frames = counting_frames(8, 32, 32)
    path = write_video(tmp_path / "a.h264", frames, format="h264")
    views = [WHOLE, View(None, "window", 3, 1.0)]
    for source, name in ((frames, "video 0"), (path, str(path))):
        (error,) = read_views([source], [views], 4)
        message = "has no times, which --curves window needs: give its frames per second (--fps)"
        assert str(error) == f"{name}: {message}"
    ((footage),) = read_views([Source(path, fps=10)], [views], 4)
    assert footage.length == 8


def test_seconds_of_a_window_are_exact(tmp_path):
    """0.3 s at 10 frames a second are 3 frames, though 0.3 is no binary fraction."""
    frames = counting_frames(30, 32, 32)
    for source in (Source(frames, fps=10), write_video(tmp_path / "a.mp4", frames, fps=10)):
        ((footage),) = read_views([source], [[View(None, "window", 10, 0.3)]], 3)
        (shots,) = footage.views.values()
        expected = [[3 * k, 3 * k + 1, 3 * k + 2] for k in range(10)]
        assert footage.indices[shots.places].tolist() == expected


def test_what_a_view_sees_of_a_damaged_video_does_not_depend_on_the_others(tmp_path):
    """Damage that the whole's few frames do not meet, and the curve's do: what the cache keeps of
    the whole would else depend on whether a curve was asked for."""
    path = write_video(tmp_path / "a.mp4", counting_frames(60), options={"g": "5", "bf": "0"})
    listing = listings.list_packets(str(path), lambda: False)
    data = bytearray(path.read_bytes())
    import av

    with av.open(str(path)) as container:
        spots = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    at, size = spots[22]  # of the group of frames 20 to 24
    data[at + 5 : at + size] = b"\xff" * (size - 5)
    path.write_bytes(data)
    assert listing.exact
    curve = View(None, "prefix", 15)
    (alone,), (curve_alone,) = (read_views([path], [[view]], 4, whole) for view in (WHOLE, curve))
    assert alone.length == 60 and alone.views[WHOLE].warning is None
    assert "only the first" in curve_alone.views[curve].warning and curve_alone.length < 60
    for views in ([WHOLE, curve], [curve, WHOLE], [WHOLE, View("still"), curve]):
        (both,) = read_views([path], [views], 4, whole)
        assert both.length == 60
        for one, view in ((alone, WHOLE), (curve_alone, curve)):
            places, found = one.views[view].places, both.views[view].places
            assert np.array_equal(both.frames[found], one.frames[places])
            assert np.array_equal(both.indices[found], one.indices[places])
            assert np.array_equal(both.views[view].ends, one.views[view].ends)
            assert both.views[view].warning == one.views[view].warning
