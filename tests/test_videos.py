"""videos.py: which frames, exactly those, in bounded memory, and a clear word when it cannot."""

import collections
import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import hear_ctrl_c
from hypothesis import given, settings
from hypothesis import strategies as st
from make_videos import counting_frames, encode, frame_number, write_repeated, write_video

from trajeval import packets, videos
from trajeval.videos import VideoError, read_clip, read_clips, sample_indices

ROOT = Path(__file__).parents[1]
LENGTH = 60
OPEN_GOP = "keyint=12:min-keyint=12:bframes=3:scenecut=0:open-gop=1"

# name: (file, how it is encoded, whether the packets suffice to find the frames)
KINDS = {
    "long groups": ("long.mp4", {"options": {"g": "250", "sc_threshold": "0"}}, True),
    "short groups": ("short.mp4", {"options": {"g": "7", "bf": "3"}}, True),
    "no B-frames": ("no_b.mp4", {"options": {"g": "9", "bf": "0", "sc_threshold": "0"}}, True),
    "open groups": ("open.mp4", {"options": {"x264-params": OPEN_GOP}}, True),
    "open groups, mkv": ("open.mkv", {"options": {"x264-params": OPEN_GOP}}, True),
    "intra only": ("intra.mov", {"options": {"g": "1"}}, True),
    "intra refresh": (
        "refresh.mp4",
        {"options": {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}},
        False,
    ),
    "interlaced": ("interlaced.mp4", {"options": {"x264-params": "interlaced=1"}}, False),
    "h264 in avi": ("h264.avi", {"options": {"g": "12", "bf": "3"}}, False),
    "mpeg-ts": ("open.ts", {"options": {"x264-params": OPEN_GOP}}, False),
    "hevc": (
        "hevc.mp4",
        {
            "codec": "libx265",
            "options": {"x265-params": "keyint=12:bframes=3:open-gop=0:log-level=none"},
        },
        True,
    ),
    "hevc, open groups": (
        "open_hevc.mp4",
        {"codec": "libx265", "options": {"x265-params": OPEN_GOP + ":log-level=none"}},
        True,
    ),
    "vp8": (
        "vp8.webm",
        {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "15"}},
        True,
    ),
    "vp9": (
        "vp9.webm",
        {"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "15"}},
        True,
    ),
    "mpeg-4": ("mpeg4.avi", {"codec": "mpeg4", "options": {"g": "12"}}, True),
    "mpeg-4, B-frames": (
        "mpeg4_b.avi",
        {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
        False,
    ),
    "mpeg-4, B-frames, mp4": (
        "mpeg4_b.mp4",
        {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
        True,
    ),
    "mjpeg": ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, True),
    "mpeg-2": ("mpeg2.mpg", {"codec": "mpeg2video", "options": {"bf": "2"}}, False),
    "gif": ("gif.gif", {"codec": "gif", "pix_fmt": "rgb8"}, False),
    "lossless": ("ffv1.mkv", {"codec": "ffv1"}, False),
    "uneven times": (
        "uneven.mkv",
        {"pts": [40 * i + (i % 3) * 13 + (i // 20) * 900 for i in range(LENGTH)]},
        True,
    ),
    "no extension": ("plain", {"format": "matroska"}, True),
    "wrong extension": ("wrong.gif", {"format": "mp4"}, True),
}


def whole(frame):
    """Leaves a frame at its own size."""
    return frame


def never():
    return False


def decode_everything(path):
    """All frames of a video by PyAV alone, as far as they can be read."""
    frames = []
    with av.open(str(path)) as container, contextlib.suppress(av.FFmpegError):
        for frame in container.decode(video=0):
            rgb = frame.reformat(format="rgb24", interpolation="BICUBIC")
            frames.append(rgb.to_ndarray())
    return frames


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """name -> (path, all frames), each made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("kinds"), {}

    def make(name):
        if name not in made:
            file, encoding, _ = KINDS[name]
            path = write_video(folder / file, counting_frames(LENGTH), **encoding)
            made[name] = path, np.stack(decode_everything(path))
        return made[name]

    return make


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory):
    """An ordinary video."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", counting_frames(20))


# Which frames


@given(length=st.integers(1, 10**6), n=st.integers(1, 300))
def test_samples_cover_the_video_evenly(length, n):
    indices = sample_indices(length, n)
    assert indices.dtype == np.int64 and indices.shape == (n,)
    assert indices[0] == 0 and indices[-1] < length
    steps = np.diff(np.append(indices, length))
    assert steps.min() >= 0 and steps.max() - steps.min() <= 1
    if length <= n:
        assert set(indices) == set(range(length))


@given(step=st.integers(1, 50), n=st.integers(1, 100))
def test_samples_are_the_original_scripts_where_n_divides_the_length(step, n):
    length = step * n
    assert sample_indices(length, n).tolist() == list(range(length))[:: length // n][:n]


@pytest.mark.parametrize("length, n", [(0, 1), (1, 0), (-1, 4)])
def test_samples_of_nothing(length, n):
    with pytest.raises(ValueError, match="at least 1"):
        sample_indices(length, n)


# Exactly those


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_of_decoding_everything(name, kinds, monkeypatch):
    path, everything = kinds(name)
    assert [frame_number(frame) for frame in everything] == list(range(LENGTH))
    counted = []
    count = packets.count_frames
    monkeypatch.setattr(packets, "count_frames", lambda *a: counted.append(1) or count(*a))
    for n in (1, 2, 3, 4, 7, 16, 32, 59, 60, 75):
        clip = read_clip(path, n, whole)
        assert clip.length == LENGTH and clip.size == (96, 64) and clip.warning is None
        assert np.array_equal(clip.indices, sample_indices(LENGTH, n))
        assert np.array_equal(clip.frames, everything[clip.indices]), n
    if KINDS[name][2]:
        assert not counted, "decoded everything where the packets would have told"


@pytest.mark.parametrize("n_parts", [1, 3, 16])
@pytest.mark.parametrize("name", KINDS)
def test_parts_change_nothing(name, n_parts, kinds, monkeypatch):
    path, everything = kinds(name)
    monkeypatch.setattr(videos, "n_cores", lambda: n_parts)
    for n in (3, 32):
        clip = read_clip(path, n, whole)
        assert clip.length == LENGTH and clip.warning is None
        assert np.array_equal(clip.frames, everything[clip.indices])


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(KINDS)), wanted=st.sets(st.integers(0, LENGTH - 1), min_size=1))
def test_any_choice_of_frames_is_exact(kinds, name, wanted):
    path, everything = kinds(name)
    wanted = np.array(sorted(wanted))
    listing = packets.list_packets(str(path), never)
    if not listing.exact:
        return
    with contextlib.suppress(packets.Untrusted):
        numbered = packets.decode_wanted(str(path), listing, wanted, never)
        frames, _ = videos._collect(str(path), numbered, wanted, whole, 0)
        assert np.array_equal(frames, everything[wanted])


@pytest.mark.parametrize("length", [1, 2, 3, 31, 33])
@pytest.mark.parametrize("file", ["a.mp4", "a.webm", "a.avi", "a.gif"])
def test_every_length(length, file, tmp_path):
    codec = {"webm": "libvpx", "avi": "mpeg4", "gif": "gif"}.get(file[2:], "libx264")
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
    path = tmp_path / file
    write_video(path, counting_frames(length), codec=codec, pix_fmt=pix_fmt)
    everything = np.stack(decode_everything(path))
    for n in (1, 8, 32):
        clip = read_clip(path, n, whole)
        assert clip.length == length
        assert np.array_equal(clip.frames, everything[sample_indices(length, n)])


@pytest.mark.parametrize("n_parts", [1, 2, 3, 8])
def test_parts_share_the_work(kinds, monkeypatch, n_parts):
    path, _ = kinds("no B-frames")  # a keyframe every 9
    monkeypatch.setattr(videos, "n_cores", lambda: n_parts)
    decoded, decode = collections.Counter(), packets.decode

    def count(context, packet):
        decoded[context] += packet is not None
        return decode(context, packet)

    monkeypatch.setattr(packets, "decode", count)
    read_clip(path, 60, whole)
    assert len(decoded) == min(n_parts, 7) and decoded.total() == 60
    assert max(decoded.values()) - min(decoded.values()) <= 9


def test_groups_without_a_wanted_frame_are_skipped(kinds, monkeypatch):
    path, _ = kinds("no B-frames")  # a keyframe every 9
    decoded, decode = [], packets.decode
    monkeypatch.setattr(packets, "decode", lambda c, p: decoded.append(p) or decode(c, p))
    clip = read_clip(path, 4, whole)
    assert clip.indices.tolist() == [0, 15, 30, 45]
    assert sum(p is not None for p in decoded) == 1 + 7 + 4 + 1  # from 0, 9, 27 and 45


@pytest.mark.parametrize("codec, shown", [("libvpx", 0x10), ("libvpx-vp9", 0x02)])
def test_frames_that_are_never_shown_do_not_count(codec, shown, tmp_path):
    path = tmp_path / "hidden.webm"
    options = {"g": "10", "lag-in-frames": "0"}
    with av.open(str(path), "w") as container:
        stream, packets = encode(container, counting_frames(30), codec, options=options)
        for p in list(packets):
            container.mux(p)
            if p.pts % 4 == 1:  # the same again, but hidden
                data = bytearray(bytes(p))
                data[0] &= ~shown
                again = av.Packet(bytes(data))
                again.stream, again.time_base = stream, p.time_base
                again.pts = again.dts = p.pts + 1 if p.time_base.denominator > 100 else p.pts
                container.mux(again)
    everything = np.stack(decode_everything(path))
    assert len(everything) == 30
    for n in (1, 5, 8, 30):
        clip = read_clip(path, n, whole)
        assert clip.length == 30 and clip.warning is None
        assert np.array_equal(clip.frames, everything[clip.indices])


def test_frames_with_the_same_time_all_count(tmp_path):
    path = tmp_path / "fast.mkv"  # 3000 frames a second, in a container of milliseconds
    write_video(path, counting_frames(30), codec="mjpeg", fps=3000, pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        assert len({p.pts for p in container.demux(video=0)}) < 20
    clip = read_clip(path, 30, whole)
    assert [frame_number(frame) for frame in clip.frames] == list(range(30))


def cut(source, target, first, shift=False):
    """Copies the packets from number `first` on. shift: their times begin below zero."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [p for p in old.demux(stream) if p.size]
        origin = packets[len(packets) // 3].pts
        for packet in packets[first:]:
            if shift:
                packet.pts, packet.dts = packet.pts - origin, packet.dts - origin
            packet.stream = copy
            new.mux(packet)


def test_frames_that_an_edit_list_cuts_off_do_not_count(kinds, tmp_path):
    path = tmp_path / "edited.mp4"
    cut(kinds("no B-frames")[0], path, 0, shift=True)
    everything = np.stack(decode_everything(path))
    assert frame_number(everything[0]) == 20 and len(everything) == 40
    clip = read_clip(path, 16, whole)
    assert clip.length == 40 and np.array_equal(clip.frames, everything[clip.indices])


@pytest.mark.parametrize("name", ["open groups, mkv", "hevc, open groups", "no B-frames", "vp8"])
def test_a_video_that_begins_amid_a_group_begins_at_its_first_keyframe(name, kinds, tmp_path):
    path = tmp_path / "cut.mkv"
    cut(kinds(name)[0], path, 4)
    clip = read_clip(path, 100, whole)
    _, everything = kinds(name)
    first = frame_number(clip.frames[0])
    assert 4 < first < 20 and clip.length == LENGTH - first
    assert np.array_equal(clip.frames, everything[first:][clip.indices])


# Sizes, turns, colours


def test_crop_is_the_centre_square_and_stretch_is_all(clip_path):
    with av.open(str(clip_path)) as container:
        first = next(container.decode(video=0))
    scaled = first.reformat(336, 224, "rgb24", interpolation="BICUBIC").to_ndarray()
    clip = read_clip(clip_path, 4)
    assert clip.frames.shape == (4, 224, 224, 3) and clip.frames.dtype == np.uint8
    assert np.array_equal(clip.frames[0], scaled[:, 56:280])
    stretched = first.reformat(200, 200, "rgb24", interpolation="BICUBIC").to_ndarray()
    assert np.array_equal(read_clip(clip_path, 4, "stretch", 200).frames[0], stretched)
    assert np.array_equal(
        read_clip(clip_path, 1, whole).frames[0], first.to_ndarray(format="rgb24")
    )


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("resize", ["crop", "stretch", whole])
def test_turned_and_mirrored_videos_come_upright(degrees, mirror, resize, tmp_path):
    path = tmp_path / "turned.mp4"
    stored = counting_frames(3, 64, 97 if resize == "crop" else 96)
    encoding = {"pix_fmt": "yuv444p"}
    write_video(path, stored, turn=(degrees, *mirror), **encoding)
    plain = write_video(tmp_path / "plain.mp4", stored, **encoding)
    clip = read_clip(path, 3, resize, 64)

    upright = np.rot90(read_clip(plain, 3, whole).frames, degrees // 90, axes=(1, 2))
    upright = upright[:, :: -1 if mirror[1] else 1, :: -1 if mirror[0] else 1]
    height, width = upright.shape[1:3]
    assert clip.size == (width, height)
    if resize == "crop":
        top, left = (height - 64) // 2, (width - 64) // 2
        upright = upright[:, top : top + 64, left : left + 64]
    if resize == "stretch":  # squeezed before it is turned: not the same to the bit
        upright = upright[:, :: height // 32, :: width // 32]
        near = np.abs(clip.frames[:, 1::2, 1::2].astype(int) - upright)
        assert near[:, 2:-2, 2:-2].mean() < 30
    else:
        assert np.array_equal(clip.frames, upright)


SIZES = [
    ("libx264", "yuv420p", 4096, 2304),
    ("libx264", "yuv420p", 1000, 10),
    ("libx264", "yuv420p", 10, 1000),
    ("libx264", "yuv444p", 33, 57),
    ("libx264", "yuv420p", 2, 2),
    ("libvpx-vp9", "yuv420p", 57, 33),
    ("mjpeg", "yuvj420p", 33, 57),
    ("ffv1", "yuv420p", 1, 1),
    ("png", "rgba", 1, 1),
    ("png", "rgba", 7, 5),
]


@pytest.mark.parametrize("codec, pix_fmt, width, height", SIZES)
def test_every_size(codec, pix_fmt, width, height, tmp_path):
    options = {"preset": "ultrafast"} if codec == "libx264" else {}
    path = tmp_path / ("size.mov" if codec == "png" else "size.mkv")
    shades = np.linspace(0, 255, width, dtype=np.uint8)
    frames = np.broadcast_to(shades[:, None], (2, height, width, 3))
    write_video(path, frames, codec=codec, pix_fmt=pix_fmt, options=options)
    for resize, shape in (("crop", (224, 224)), ("stretch", (224, 224)), (whole, (height, width))):
        clip = read_clip(path, 3, resize)
        assert clip.frames.shape == (3, *shape, 3) and clip.size == (width, height)
    assert np.array_equal(clip.frames[[0, 2]], np.stack(decode_everything(path)))


def test_a_size_that_changes_on_the_way(tmp_path):
    parts = []
    for width in (96, 64):
        part = write_video(tmp_path / "part", counting_frames(8, 64, width), format="h264")
        parts.append(part.read_bytes())
    path = tmp_path / "changes.h264"
    path.write_bytes(b"".join(parts))
    assert [f.shape[1] for f in decode_everything(path)] == [96] * 8 + [64] * 8
    for resize, shape in (("crop", (50, 50)), ("stretch", (50, 50)), (whole, (64, 96))):
        clip = read_clip(path, 16, resize, 50)
        assert clip.frames.shape == (16, *shape, 3) and clip.size == (96, 64)
        if resize != "crop":
            assert [frame_number(f) for f in clip.frames] == [*range(8), *range(8)]


def test_a_size_that_changes_between_two_parts(tmp_path, monkeypatch):
    path = tmp_path / "changes.mkv"
    with av.open(str(path), "w") as container:
        stream, packets = encode(container, counting_frames(8), "mjpeg", pix_fmt="yuvj420p")
        container.mux(packets)
        with av.open(io.BytesIO(), "w", "avi") as other:
            frames = counting_frames(8, 64, 64)
            for i, packet in enumerate(encode(other, frames, "mjpeg", pix_fmt="yuvj420p")[1]):
                packet.stream, packet.pts, packet.dts = stream, 8 + i, 8 + i
                container.mux(packet)
    assert [f.shape[1] for f in decode_everything(path)] == [96] * 8 + [64] * 8
    for resize in ("crop", "stretch", whole):
        clips = []
        for n_parts in (1, 2, 5):
            monkeypatch.setattr(videos, "n_cores", lambda n_parts=n_parts: n_parts)
            clips.append(read_clip(path, 16, resize, 50))
        assert all(np.array_equal(clip.frames, clips[0].frames) for clip in clips)
        assert {clip[2:] for clip in clips} == {(16, 25, (96, 64), None)}


@pytest.mark.parametrize("codec, pix_fmt", [("mjpeg", "yuvj420p"), ("libx264", "yuvj420p")])
def test_white_and_black_of_full_range_videos(codec, pix_fmt, tmp_path):
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, :32] = 255
    path = write_video(tmp_path / "full.mkv", frames, codec=codec, pix_fmt=pix_fmt)
    clip = read_clip(path, 4, "stretch", 32)
    assert clip.frames[:, :14].min() >= 250 and clip.frames[:, 18:].max() <= 5


# What cannot be read


def wav(path):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "none"))
        sound.writeframes(bytes(16000))


def sound_with_cover(path):
    with av.open(str(path), "w", format="mp3") as container:
        sound = container.add_stream("libmp3lame", rate=44100)
        cover, packets = encode(container, counting_frames(1), "mjpeg", pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), "fltp", "stereo")
        silence.sample_rate = 44100
        for packet in packets:
            container.mux(packet)
        container.mux(sound.encode(silence))
        container.mux(sound.encode())


def header_only(path):
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.start_encoding()


def damaged_from_the_start(path):
    write_video(path, counting_frames(20), format="mp4")
    data = bytearray(path.read_bytes())
    media = data.index(b"mdat") + 4
    data[media : data.index(b"moov")] = bytes(data.index(b"moov") - media)
    path.write_bytes(data)


BAD_FILES = {
    "missing": (lambda path: None, "No such file or directory; check the path"),
    "a folder": (Path.mkdir, "is a folder; name a video file in it"),
    "empty": (Path.touch, r"is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("no film\n" * 99), "not a video"),
    "a page": (lambda path: path.write_text("<!DOCTYPE html><p>404</p>"), "is not a video"),
    "noise": (
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
        "is not a video",
    ),
    "a playlist": (
        lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"),
        "is a playlist, not a video; list the files it names",
    ),
    "a playlist with a byte order mark": (
        lambda path: path.write_text("\ufeff#EXTM3U\n#EXT-X-TARGETDURATION:5\n"),
        "is a playlist, not a video",
    ),
    "a concat script": (
        lambda path: path.write_text("ffconcat version 1.0\nfile a.mp4\n"),
        "is a playlist, not a video",
    ),
    "a DASH manifest": (
        lambda path: path.write_text('<?xml version="1.0"?>\n<MPD type="static"></MPD>\n'),
        "is a playlist, not a video",
    ),
    "a session description": (
        lambda path: path.write_text("v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
        "is not a video that FFmpeg can read",
    ),
    "sound": (wav, "has no video stream"),
    "sound with a cover": (sound_with_cover, "has no video stream"),
    "a head without frames": (header_only, "holds no frame"),
    "damaged": (damaged_from_the_start, "damaged from the first frame"),
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("file", ["bad.mp4", "bad.txt", "bad"])
def test_what_is_no_video_says_so_by_name(name, file, tmp_path, capfd):
    make, message = BAD_FILES[name]
    path = tmp_path / file
    make(path)
    with pytest.raises(VideoError, match=message) as error:
        read_clip(path, 4)
    assert str(error.value).startswith(f"{path}: ") and "; " in str(error.value)
    assert capfd.readouterr() == ("", ""), "FFmpeg's own lines are kept from the terminal"


def test_a_name_with_a_zero_byte():
    with pytest.raises(VideoError, match="check the path"):
        read_clip("a\0b.mp4", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="not a regular file"):
        read_clip(tmp_path / "pipe.mp4", 4)


def test_a_file_without_read_permission(clip_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(packets, "open_regular", refuse)
    with pytest.raises(VideoError, match="Permission denied; check its permissions"):
        read_clip(clip_path, 4)


def test_a_function_may_scale_the_frames(tmp_path):
    write_video(tmp_path / "turned.mp4", counting_frames(9, 64, 96))
    seen = []

    def thumbnail(frame):
        seen.append(frame)
        return frame[::4, ::8]

    clip = read_clip(tmp_path / "turned.mp4", 12, thumbnail)
    unscaled = read_clip(tmp_path / "turned.mp4", 12, whole).frames
    assert len(seen) == 9 and all(frame.shape == (64, 96, 3) for frame in seen)
    assert clip.size == (96, 64)
    assert np.array_equal(clip.frames, unscaled[:, ::4, ::8])


@pytest.mark.parametrize(
    "arguments", [{"resize": "zoom"}, {"n_frames": 0}, {"size": 0}, {"resize": "crop", "size": -1}]
)
def test_arguments_that_make_no_sense(arguments, clip_path):
    with pytest.raises(ValueError, match="must be"):
        read_clip(**{"path": clip_path, "n_frames": 4, **arguments})


@pytest.mark.parametrize("codec, pix_fmt", [("mjpeg", "yuvj420p"), ("png", "rgba")])
def test_a_picture_is_a_video_of_one_frame(codec, pix_fmt, tmp_path):
    path = tmp_path / {"mjpeg": "a.jpg", "png": "a.png"}[codec]
    write_video(path, counting_frames(1), codec=codec, format="image2", pix_fmt=pix_fmt)
    clip = read_clip(path, 4, whole)
    assert clip.length == 1 and clip.indices.tolist() == [0] * 4


NAMES = [
    "with space.mp4",
    'it\'s "quoted".mp4',
    "видео 视频 🎬.mp4",
    "-leading-dash.mp4",
    "http:colon.mp4",
    "pipe:0",
    "percent%03d.mp4",
    "star*[x]{a,b}.mp4",
    b"not-utf8-\xff.mp4",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids most of these names")
@pytest.mark.parametrize("name", NAMES)
def test_names(name, clip_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(os.fsdecode(name)).write_bytes(clip_path.read_bytes())
    assert read_clip(name, 4).length == 20


# Damage on the way

# Without B-frames, so that what is left of a cut file is the beginning of the whole one.
CUT = {
    "mp4": {"options": {"bf": "0", "g": "8"}, "muxing": {"movflags": "faststart"}},
    "mkv": {"options": {"bf": "0", "g": "8"}},
    "webm": {"codec": "libvpx", "options": {"g": "8"}},
    "avi": {"codec": "mpeg4", "options": {"g": "8"}},
    "ts": {"options": {"bf": "0", "g": "8"}},
    "gif": {"codec": "gif", "pix_fmt": "rgb8"},
}


@pytest.fixture(scope="session")
def uncut(tmp_path_factory):
    """extension -> (folder, the file's bytes, all its frames)"""
    folder, made = tmp_path_factory.mktemp("whole"), {}
    for extension, encoding in CUT.items():
        path = write_video(folder / f"whole.{extension}", counting_frames(30), **encoding)
        made[extension] = folder, path.read_bytes(), np.stack(decode_everything(path))
    return made


@settings(max_examples=150)
@given(extension=st.sampled_from(sorted(CUT)), part=st.floats(0, 0.999), n=st.integers(1, 40))
def test_a_file_cut_off_anywhere_is_used_up_to_there(uncut, extension, part, n):
    folder, data, everything = uncut[extension]
    path = folder / f"cut.{extension}"
    path.write_bytes(data[: int(len(data) * part)])
    try:
        clip = read_clip(path, n, whole)
    except VideoError as error:
        assert str(error).startswith(str(path))
        assert part < 0.8  # else there are frames before the cut
        return
    assert 1 <= clip.length <= len(everything) and len(clip.frames) == n
    same = [np.array_equal(f, everything[i]) for f, i in zip(clip.frames, clip.indices)]
    if extension in ("ts", "gif"):  # these do not say where they should have ended
        same = [s for s, i in zip(same, clip.indices) if i < clip.length - 1]
    else:
        assert f"first {clip.length} " in clip.warning
    assert all(same)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_an_mp4_that_ends_between_two_packets(flags, tmp_path):
    path, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    write_video(path, counting_frames(30), options={"g": "8"}, muxing={"movflags": flags})
    with av.open(str(path)) as container:
        entries = container.streams.video[0].index_entries
        ends = [entry.pos + entry.size for entry in entries]
    assert read_clip(path, 1).warning is None
    for n in (1, 6, 12):  # not 8 or 16, where a fragment is complete
        cut.write_bytes(path.read_bytes()[: ends[n - 1]])
        clip = read_clip(cut, 1, whole)
        assert clip.warning.startswith("damaged (it ends early); ") and clip.length <= n


def write_changed(path, data, changes):
    """changes: (where in the file, from 0 to 1, the new byte)"""
    data = bytearray(data)
    for where, byte in changes:
        data[int(len(data) * where)] = byte
    path.write_bytes(data)


@settings(max_examples=150)
@given(
    extension=st.sampled_from(sorted(CUT)),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=20),
    resize=st.sampled_from([*videos.RESIZES, whole]),
)
def test_a_file_with_wrong_bytes_gives_a_clip_or_an_error(uncut, extension, changes, resize):
    folder, data, _ = uncut[extension]
    path = folder / f"changed.{extension}"
    write_changed(path, data, changes)
    try:
        clip = read_clip(path, 8, resize, 32)
    except VideoError as error:
        assert str(error).startswith(str(path))
        return
    assert clip.frames.shape[0] == 8 and clip.frames.shape[-1] == 3
    assert clip.warning is None or clip.warning.startswith("damaged (")


@settings(max_examples=100)
@given(
    extension=st.sampled_from(sorted(CUT)),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4),
    n=st.sampled_from([1, 3, 8, 30]),
)
def test_parts_change_nothing_of_a_file_with_wrong_bytes(uncut, extension, changes, n):
    folder, data, _ = uncut[extension]
    path = folder / f"parts.{extension}"
    write_changed(path, data, changes)
    in_one, *in_parts = (clip_or_error(path, n, n_parts) for n_parts in (1, 2, 7))
    assert in_parts == [in_one] * 2


def clip_or_error(path, n, n_parts):
    try:
        clip = videos._read(str(path), n, whole, 32, n_parts, never)
    except VideoError as error:
        return str(error)
    return clip.frames.tobytes(), clip.indices.tolist(), *clip[2:]


def write_broken(path, sound, bad):
    """The video `sound` with its packet number `bad` spoilt."""
    with av.open(str(sound)) as whole, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        packets = (packet for packet in whole.demux(whole.streams.video[0]) if packet.size)
        for i, packet in enumerate(packets):
            if i == bad:
                damaged = av.Packet(bytes(packet)[:4] + bytes(packet.size - 4))
                damaged.time_base = packet.time_base
                damaged.pts, damaged.dts = packet.pts, packet.dts
                damaged.is_keyframe = packet.is_keyframe
                packet = damaged
            packet.stream = stream
            container.mux(packet)


@pytest.mark.parametrize("bad", [1, 7, 8, 21, 29])
def test_a_broken_packet_ends_the_video_with_a_warning(bad, tmp_path, capfd):
    path = tmp_path / "broken.mkv"
    options = {"bf": "0", "g": "8"}
    sound = write_video(tmp_path / "sound.mkv", counting_frames(30), options=options)
    write_broken(path, sound, bad)
    clip = read_clip(path, 30, whole)
    assert clip.length == bad
    assert clip.warning.startswith("damaged (")
    assert clip.warning.endswith(f"only the first {bad} of 30 frames could be read")
    assert [frame_number(f) for f in clip.frames] == sample_indices(bad, 30).tolist()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", range(1, 12))
def test_frames_that_lean_on_a_broken_one_are_not_used(bad, tmp_path):
    path = tmp_path / "broken.mkv"
    sound = write_video(tmp_path / "sound.mkv", counting_frames(30), options={"bf": "3", "g": "90"})
    everything = decode_everything(sound)
    write_broken(path, sound, bad)
    for n in (1, 2, 3, 8, 30):
        clip = read_clip(path, n, whole)
        assert clip.warning or n < 30
        for frame, i in zip(clip.frames, clip.indices):
            assert np.array_equal(frame, everything[i])


# Many videos


def test_clips_come_in_order_and_errors_in_their_place(tmp_path):
    paths = []
    for k in range(7):
        path = tmp_path / f"{k}.mp4"
        paths.append(path)
        if k % 3 == 1:
            path.write_text("no video")
        else:
            write_video(path, counting_frames(10 + 20 * (k % 2), 32, 48 + 2 * k))
    for workers in (1, 2, 5, None):
        results = list(read_clips(paths, 8, whole, workers=workers))
        assert len(results) == 7
        for k, result in enumerate(results):
            if k % 3 == 1:
                assert isinstance(result, VideoError) and str(paths[k]) in str(result)
            else:
                assert result.size == (48 + 2 * k, 32)
                assert np.array_equal(result.frames, read_clip(paths[k], 8, whole).frames)


def test_nothing_is_left_for_the_search_of_cycles(clip_path):
    """Frames in cycles would take memory until Python looks for such."""
    turned = write_video(
        clip_path.with_name("turned.mp4"), counting_frames(4), turn=(90, True, False)
    )
    gc.collect()
    gc.disable()
    try:
        assert len(list(read_clips([clip_path, turned] * 3, 8))) == 6
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_nothing_to_read():
    assert list(read_clips([], 4)) == []


def test_a_mistake_in_the_call_is_raised(clip_path):
    with pytest.raises(ValueError, match="resize must be one of crop, stretch,"):
        next(read_clips([clip_path], 4, "zoom"))


@pytest.mark.parametrize("workers", [1, 3])
def test_only_a_few_videos_are_read_ahead(workers, clip_path):
    asked = []

    def paths():
        for k in range(40):
            asked.append(k)
            yield clip_path

    clips = read_clips(paths(), 2, size=8, workers=workers)
    assert not asked, "nothing happens before the first clip is asked for"
    for k in range(1, 20):
        next(clips)
        assert len(asked) <= k + workers
    clips.close()


def threads_end(before, seconds=5):
    """Whether all threads but those of before end in time."""
    until = time.monotonic() + seconds
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    return not set(threading.enumerate()) - before


@pytest.fixture(scope="session")
def endless(tmp_path_factory):
    """A video that takes many seconds to read: its packets do not tell the order of its frames."""
    path = tmp_path_factory.mktemp("endless") / "endless.avi"
    frames = counting_frames(10, 480, 640)
    return write_repeated(path, frames, 2000, options={"preset": "ultrafast", "bf": "2"})


def test_closing_stops_the_threads_amid_a_video(clip_path, endless):
    before = set(threading.enumerate())
    clips = read_clips([clip_path, endless, endless, endless], 4, workers=2)
    assert next(clips).length == 20
    time.sleep(0.2)
    clips.close()
    assert threads_end(before)


def test_the_threads_end_with_the_list(clip_path):
    before = set(threading.enumerate())
    assert len(list(read_clips([clip_path] * 3, 4))) == 3
    assert threads_end(before)


WAIT = """
import sys
from trajeval import videos
clips = videos.read_clips(sys.argv[1:], 4, workers=2)
print(next(clips).length, flush=True)
{then}
"""


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
@pytest.mark.parametrize("then", ["next(clips)", "while True: pass"])
def test_ctrl_c_ends_at_once(then, clip_path, endless):
    code = WAIT.format(then=then)
    program = [sys.executable, "-c", code, clip_path, endless, endless]
    child = subprocess.Popen(
        program,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    assert child.stdout.readline() == "20\n"
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    try:
        _, errors = child.communicate(timeout=10)
    finally:
        child.kill()
    assert child.returncode != 0 and "KeyboardInterrupt" in errors and "Fatal" not in errors


def test_the_program_ends_though_videos_are_being_read(clip_path, endless):
    program = [sys.executable, "-c", WAIT.format(then=""), clip_path, endless, endless]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, "20\n", "")


@pytest.mark.parametrize("left", [0.3, 0.6])
def test_a_video_that_changes_while_it_is_read(tmp_path, monkeypatch, left):
    path = write_video(tmp_path / "growing.mkv", counting_frames(60), options={"g": "5"})
    data = path.read_bytes()
    list_packets = packets.list_packets

    def list_and_cut(*arguments):
        listing = list_packets(*arguments)
        path.write_bytes(data[: int(len(data) * left)])
        return listing

    monkeypatch.setattr(packets, "list_packets", list_and_cut)
    clip = read_clip(path, 4)
    assert clip.length < 60 and "only the first" in clip.warning


def test_a_video_that_shrinks_all_the_time(tmp_path, monkeypatch):
    path = write_video(tmp_path / "shrinking.mkv", counting_frames(60), options={"g": "5"})
    monkeypatch.setattr(packets, "count_frames", lambda *_: (500, None))
    list_packets = packets.list_packets
    monkeypatch.setattr(packets, "list_packets", lambda *a: list_packets(*a)._replace(exact=False))
    with pytest.raises(VideoError, match=r"shrinking\.mkv: changed while it was being read"):
        read_clip(path, 4)


# Time and memory


def test_import_needs_no_torch():
    code = "import sys; from trajeval import videos; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n"


PEAK = """
import resource, sys
from trajeval import videos
clip = videos.read_clip(sys.argv[1], 32)
print(clip.length, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory in kilobytes")
@pytest.mark.parametrize(
    "file, height, width, times",
    [("film.mp4", 1080, 1920, (3, 1800)), ("film.avi", 240, 320, (3, 300))],
)
def test_ten_minutes_take_no_more_memory_than_a_second(file, height, width, times, tmp_path):
    frames = np.full((10, height, width, 3), 90, np.uint8)
    for i, frame in enumerate(frames):
        frame[: height // 4, 16 * i :] = (200, 30, 60)
    peaks = []
    for n in times:
        path = tmp_path / file
        write_repeated(path, frames, n, fps=30, options={"preset": "ultrafast", "bf": "2"})
        done = subprocess.run(
            [sys.executable, "-c", PEAK, path], cwd=ROOT, capture_output=True, text=True, check=True
        )
        length, kilobytes = map(int, done.stdout.split())
        assert length == 10 * n
        peaks.append(kilobytes / 1024)
    assert peaks[1] - peaks[0] < 40, peaks
