"""packets.py: exactly the wanted frames, and a clear message for a file that has none."""

import collections
import contextlib
import os
import re
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_videos import (
    counting_frames,
    decode_everything,
    encode,
    frame_number,
    whole,
    write_video,
)

from trajeval import containers, frames, listings, packets, videos
from trajeval.clips import read
from trajeval.sources import Source
from trajeval.videos import VideoError, read_clip, sample_indices
from trajeval.views import WHOLE

LENGTH = 60
OPEN_GOP = "keyint=12:min-keyint=12:bframes=3:scenecut=0:open-gop=1"

# name: (file, encoding, whether the packets identify the frames)
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
        False,
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


def never():
    return False


@pytest.fixture(scope="session")
def kinds(tmp_path_factory):
    """name -> (path, all frames), each made on first use."""
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


# Exactly the wanted frames


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
        assert not counted, "decoded everything although the packets identify the frames"


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
    listing = listings.list_packets(str(path), never)
    if not listing.exact:
        return
    with contextlib.suppress(packets.Untrusted):
        numbered = packets.decode_wanted(str(path), listing, wanted, never)
        found, _ = frames.collect(numbered, wanted, whole, 0)
        assert np.array_equal(found, everything[wanted])


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
def test_hidden_frames_do_not_count(codec, shown, tmp_path):
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
    """Copies the packets from number `first` on. shift: their times start below zero."""
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
    assert clip.warning is None


@pytest.mark.parametrize("name", ["open groups, mkv", "hevc, open groups", "no B-frames", "vp8"])
def test_a_video_that_starts_within_a_group_starts_at_its_first_keyframe(name, kinds, tmp_path):
    path = tmp_path / "cut.mkv"
    cut(kinds(name)[0], path, 4)
    clip = read_clip(path, 100, whole)
    _, everything = kinds(name)
    first = frame_number(clip.frames[0])
    assert 4 < first < 20 and clip.length == LENGTH - first
    assert np.array_equal(clip.frames, everything[first:][clip.indices])


# Files that are not videos


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
    "a folder": (Path.mkdir, "is a folder without numbered images; name a video file in it"),
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
def test_a_file_that_is_not_a_video_is_named(name, file, tmp_path, capfd):
    make, message = BAD_FILES[name]
    path = tmp_path / file
    make(path)
    with pytest.raises(VideoError, match=message) as error:
        read_clip(path, 4)
    assert str(error.value).startswith(f"{path}: ") and "; " in str(error.value)
    assert capfd.readouterr() == ("", ""), "FFmpeg's own messages are hidden"


def test_a_name_with_a_null_byte():
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

    monkeypatch.setattr(containers, "open_regular", refuse)
    with pytest.raises(VideoError, match="Permission denied; check its permissions"):
        read_clip(clip_path, 4)


def test_an_encrypted_mp4(tmp_path):
    path = tmp_path / "encrypted.mp4"
    scheme = {"encryption_scheme": "cenc-aes-ctr"}
    keys = {"encryption_key": "00" * 16, "encryption_kid": "11" * 16}
    write_video(path, counting_frames(9), muxing=scheme | keys)
    with pytest.raises(VideoError, match=r"encrypted\.mp4: is encrypted; use a copy without"):
        read_clip(path, 4)


def test_a_playlist_is_refused_before_ffmpeg_opens_its_files(tmp_path):
    """Without #EXT-X-ENDLIST, FFmpeg would wait for more of them for ever."""
    write_video(tmp_path / "a.ts", counting_frames(9))
    path = tmp_path / "live.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.36,\na.ts\n")
    with pytest.raises(VideoError, match="is a playlist"):
        read_clip(path, 4)
    with pytest.raises(containers.Unusable, match="not a video that FFmpeg can read"):
        containers.open_video(str(path)).__enter__()


def test_a_percent_sign_in_a_name_is_not_a_pattern(tmp_path):
    still = {"codec": "png", "format": "image2", "pix_fmt": "rgb24"}
    for name, frame in (("%03d.png", 5), ("000.png", 6), ("001.png", 7)):
        write_video(
            tmp_path / name.replace("%", "percent"), counting_frames(8)[frame:][:1], **still
        )
    (tmp_path / "percent03d.png").rename(tmp_path / "%03d.png")
    clip = read_clip(tmp_path / "%03d.png", 2, whole)
    assert clip.length == 1 and frame_number(clip.frames[0]) == 5


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


# Damage

# Without B-frames, so that the frames left in a cut file are the first ones.
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
def test_a_truncated_file_is_used_up_to_the_cut(uncut, extension, part, n):
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
    if extension in ("ts", "gif"):  # the last frame may be incomplete
        same = [s for s, i in zip(same, clip.indices) if i < clip.length - 1]
    if extension != "ts" and not (extension == "gif" and path.read_bytes()[-1:] == b";"):
        assert f"first {clip.length} " in clip.warning  # MPEG-TS has no end mark
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


@pytest.mark.parametrize("n", [1, 10, 49, 96])
def test_an_mp4_whose_index_lists_fewer_frames_than_it_claims(n, tmp_path):
    path = write_video(tmp_path / "index.mp4", counting_frames(192), options={"g": "12"})
    data = bytearray(path.read_bytes())
    size = data.index(b"stsz") + 16 + 4 * n  # of frame n, which becomes larger than 2 GB
    data[size] = 0xFF
    path.write_bytes(data)
    clip = read_clip(path, 8, whole)
    expected = f"damaged (its index is incomplete); only the first {n} of 192 frames could be read"
    assert clip.length == n and clip.warning == expected


@pytest.mark.parametrize("n, duration", [(1, 2**28), (10, 512 * 20), (49, 512 * 4), (96, 512 * 2)])
def test_an_mp4_whose_times_are_damaged(n, duration, tmp_path):
    """The edit list, which is sound, then ends after n of the frames."""
    path = write_video(tmp_path / "times.mp4", counting_frames(192), options={"bf": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 16  # the duration of every frame
    assert int.from_bytes(data[at : at + 4], "big") == 512
    data[at : at + 4] = duration.to_bytes(4, "big")
    path.write_bytes(data)
    clip = read_clip(path, 8)
    expected = (
        r"damaged \(its index is incomplete\); only the first (\d+) of 192 frames could be read"
    )
    assert abs(int(re.fullmatch(expected, clip.warning)[1]) - n) <= 1 and clip.length <= n + 1


def test_a_truncated_gif_has_a_warning(uncut):
    folder, data, _ = uncut["gif"]
    path = folder / "truncated.gif"
    path.write_bytes(data[:-1])
    clip = read_clip(path, 4)
    assert clip.length == 30
    assert clip.warning == "damaged (it ends early); the first 30 frames could be read"


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
        known = listings.Listings()
        clip = read(Source(path), [WHOLE], n, whole, 32, n_parts, known, never).whole
    except VideoError as error:
        return str(error)
    return clip.frames.tobytes(), clip.indices.tolist(), *clip[3:]


def write_broken(path, sound, bad):
    """The video `sound` with packet number `bad` damaged."""
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
def test_frames_that_depend_on_a_broken_one_are_not_used(bad, tmp_path):
    path = tmp_path / "broken.mkv"
    sound = write_video(tmp_path / "sound.mkv", counting_frames(30), options={"bf": "3", "g": "90"})
    everything = decode_everything(sound)
    write_broken(path, sound, bad)
    for n in (1, 2, 3, 8, 30):
        clip = read_clip(path, n, whole)
        assert clip.warning or n < 30
        for frame, i in zip(clip.frames, clip.indices):
            assert np.array_equal(frame, everything[i])
