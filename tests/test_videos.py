"""videos.py: sampling, scaling, many videos at once, bounded memory, errors that name the file."""

import gc
import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import hear_ctrl_c
from hypothesis import given
from hypothesis import strategies as st
from make_videos import (
    counting_frames,
    decode_everything,
    encode,
    frame_number,
    whole,
    write_repeated,
    write_video,
)
from PIL import Image, ImageOps

from trajeval import listings, packets, videos
from trajeval.videos import VideoError, read_clip, read_clips, sample_indices
from trajeval.views import views_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def clip_path(tmp_path_factory):
    """An ordinary video."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", counting_frames(20))


# Sampling


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
def test_samples_of_no_frames(length, n):
    with pytest.raises(ValueError, match="at least 1"):
        sample_indices(length, n)


# Sizes, orientations, colours, functions


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


def test_a_size_that_changes_within_a_video(tmp_path):
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
        assert {clip[3:] for clip in clips} == {(16, 25, (96, 64), None)}


@pytest.mark.parametrize("codec, pix_fmt", [("mjpeg", "yuvj420p"), ("libx264", "yuvj420p")])
def test_white_and_black_of_full_range_videos(codec, pix_fmt, tmp_path):
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, :32] = 255
    path = write_video(tmp_path / "full.mkv", frames, codec=codec, pix_fmt=pix_fmt)
    clip = read_clip(path, 4, "stretch", 32)
    assert clip.frames[:, :14].min() >= 250 and clip.frames[:, 18:].max() <= 5


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
def test_arguments_out_of_range(arguments, clip_path):
    with pytest.raises(ValueError, match="must be"):
        read_clip(**{"video": clip_path, "n_frames": 4, **arguments})


def test_a_function_may_return_any_shape_and_type(clip_path):
    clip = read_clip(clip_path, 30, lambda frame: frame[::2, 0].mean(1, dtype=np.float32))
    frames = read_clip(clip_path, 30, whole).frames
    assert clip.frames.shape == (30, 32) and clip.frames.dtype == np.float32
    assert np.array_equal(clip.frames, frames[:, ::2, 0].mean(2, dtype=np.float32))


def test_a_function_gets_contiguous_frames(tmp_path):
    path = write_video(tmp_path / "turned.mp4", counting_frames(3), turn=(90, True, False))
    contiguous = []
    read_clip(path, 3, lambda frame: contiguous.append(frame.flags.c_contiguous) or frame)
    assert contiguous == [True] * 3  # torch.from_numpy takes no other


def test_a_frame_that_a_function_cannot_take(tmp_path):
    """As open_clip's resize_mode "longest" cannot take this one."""
    path = write_video(tmp_path / "flat.mp4", counting_frames(3, 2, 300))

    def longest(frame):
        height, width = frame.shape[:2]
        return np.asarray(Image.fromarray(frame).resize((224, round(224 * height / width / 9))))

    (error,) = read_clips([path], 4, longest)
    assert isinstance(error, VideoError)
    assert str(error) == f"{path}: height and width must be > 0 (its frames are 300x2)"


def oriented_jpeg(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(counting_frames(6)[5]).save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_with_exif_come_upright(orientation, tmp_path):
    path = oriented_jpeg(tmp_path / "a.jpg", orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    clip = read_clip(path, 2, whole)
    assert clip.frames.shape[1:] == expected.shape
    assert np.abs(clip.frames[0].astype(int) - expected).mean() < 6  # two chroma upsamplings


@pytest.mark.parametrize("extension", ["png", "webp", "tiff"])
def test_exif_in_other_pictures(extension, tmp_path):
    path = oriented_jpeg(tmp_path / f"a.{extension}", 6)
    assert read_clip(path, 2, whole).size == (64, 96)


@pytest.mark.parametrize("extension", ["avi", "mov", "mkv", "mp4"])
def test_exif_in_motion_jpeg(extension, tmp_path):
    picture = oriented_jpeg(tmp_path / "a.jpg", 6)
    path = tmp_path / f"a.{extension}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for i in range(5):
            packet = av.Packet(picture.read_bytes())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = i
            container.mux(packet)
    clip = read_clip(path, 3, whole)
    assert clip.length == 5 and clip.size == (64, 96) and clip.warning is None
    assert frame_number(np.rot90(clip.frames[2])) == 5


@pytest.mark.parametrize("rate", [25, 10, Fraction(30000, 1001)])
def test_the_frame_rate(rate, tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        _, packets = encode(container, counting_frames(9), fps=rate)
        container.mux(packets)
    assert read_clip(tmp_path / "a.mp4", 2).fps == pytest.approx(float(rate))


@pytest.mark.parametrize("codec, pix_fmt", [("mjpeg", "yuvj420p"), ("png", "rgba")])
def test_a_picture_is_a_video_of_one_frame(codec, pix_fmt, tmp_path):
    path = tmp_path / {"mjpeg": "a.jpg", "png": "a.png"}[codec]
    write_video(path, counting_frames(1), codec=codec, format="image2", pix_fmt=pix_fmt)
    clip = read_clip(path, 4, whole)
    assert clip.length == 1 and clip.indices.tolist() == [0] * 4
    assert clip.warning == "a still picture: all 4 frames are the same"
    assert read_clip(path, 1).warning is None


def test_a_gif_of_one_frame_is_a_still_picture(tmp_path):
    path = write_video(tmp_path / "a.gif", counting_frames(1), codec="gif", pix_fmt="rgb8")
    assert read_clip(path, 8).warning == "a still picture: all 8 frames are the same"


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


def test_an_unexpected_exception_is_one_videos_error(clip_path, monkeypatch):
    def fail(frame):
        raise ZeroDivisionError("no such thing")

    path = f"{clip_path}: reading it failed (ZeroDivisionError: no such thing); convert it to"
    good, bad = read_clip(clip_path, 2), list(read_clips([clip_path] * 2, 2, fail))
    assert good.length == 20 and all(isinstance(error, VideoError) for error in bad)
    assert all(str(error).startswith(path) for error in bad)
    assert all(error.__traceback__ is None and error.__context__ is None for error in bad)
    with pytest.raises(VideoError, match="ZeroDivisionError"):
        read_clip(clip_path, 2, fail)


def test_too_little_memory_is_one_videos_error(clip_path):
    def fail(frame):
        raise MemoryError

    (error,) = read_clips([clip_path], 2, fail)
    assert str(error) == f"{clip_path}: too large for the memory; scale it down"


def test_an_mpeg_ts_whose_second_programme_starts_later(clip_path, tmp_path):
    """PyAV's demux raises IndexError for its packets."""
    programme = {"mpegts_start_pid": "500", "mpegts_pmt_start_pid": "4100"}
    first = write_video(tmp_path / "1.ts", counting_frames(30))
    second = write_video(tmp_path / "2.ts", counting_frames(30), muxing=programme)
    path = tmp_path / "both.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    good, bad, also_good = read_clips([clip_path, path, clip_path], 4)
    assert good.length == also_good.length == 20
    assert isinstance(bad, VideoError)
    assert str(bad).startswith(f"{path}: reading it failed (IndexError: ")


def test_fewer_large_videos_are_read_ahead(clip_path, monkeypatch):
    """As many as fit into BYTES_AHEAD: at their own size, if a function resizes them."""
    asked = []

    def paths():
        for k in range(20):
            asked.append(k)
            yield clip_path

    n_bytes, n_crop = 4 * 64 * 96 * 3, 4 * 224 * 224 * 3
    for resize, room, ahead in ((whole, 0, 0), (whole, 2 * n_bytes, 1), ("crop", n_crop, 0)):
        monkeypatch.setattr(videos, "BYTES_AHEAD", room)
        asked.clear()
        clips = read_clips(paths(), 4, resize, workers=5)
        for k in range(1, 10):
            assert next(clips).length == 20
            assert len(asked) <= k + ahead + 1  # the last is known, but not started
        clips.close()


def test_fewer_videos_of_many_views_are_read_ahead(clip_path, monkeypatch):
    asked = []

    def paths():
        for k in range(20):
            asked.append(k)
            yield clip_path

    n_bytes = 8 * 8 * 3 * (4 + 15 * 4)  # of the whole and the curve; the shuffled has the whole's
    monkeypatch.setattr(videos, "BYTES_AHEAD", 2 * n_bytes)
    views = views_of("prefix", 15, None, False, None)
    clips = videos.read_views(paths(), itertools.repeat(views), 4, size=8, workers=5)
    for k in range(1, 10):
        assert next(clips).length == 20
        assert len(asked) <= k + 2
    clips.close()
    few = views_of("prefix", 15, None, True, 8)
    assert videos._most_frames(few, 4) == 4 * 4 + 8 + 4 + 8


def test_no_reference_cycles(clip_path):
    """Frames in cycles would hold memory until Python looks for cycles."""
    turned = write_video(
        clip_path.with_name("turned.mp4"), counting_frames(4), turn=(90, True, False)
    )
    picture = oriented_jpeg(clip_path.with_name("oriented.jpg"), 5)
    gc.collect()
    gc.disable()
    try:
        assert len(list(read_clips([clip_path, turned, picture] * 3, 8))) == 9
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
    assert not asked, "nothing is read before the first clip is requested"
    for k in range(1, 20):
        next(clips)
        assert len(asked) <= k + workers
    clips.close()


@pytest.fixture(scope="session")
def endless(tmp_path_factory):
    """A video that takes many seconds to read: its packets do not give the order of its frames."""
    path = tmp_path_factory.mktemp("endless") / "endless.avi"
    frames = counting_frames(10, 480, 640)
    return write_repeated(path, frames, 2000, options={"preset": "ultrafast", "bf": "2"})


def test_closing_ends_the_threads_within_a_video(clip_path, endless):
    before = set(threading.enumerate())
    clips = read_clips([clip_path, endless, endless, endless], 4, workers=2)
    assert next(clips).length == 20
    time.sleep(0.2)
    assert set(threading.enumerate()) > before
    start = time.monotonic()
    clips.close()
    assert set(threading.enumerate()) == before and time.monotonic() - start < 2


def test_the_threads_end_with_the_list(clip_path):
    before = set(threading.enumerate())
    assert len(list(read_clips([clip_path] * 3, 4))) == 3
    assert set(threading.enumerate()) == before


def test_the_threads_end_when_the_list_fails(clip_path, endless):
    def paths():
        yield from [clip_path, endless]
        raise RuntimeError("no more paths")

    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="no more paths"):
        list(read_clips(paths(), 4, workers=3))
    assert set(threading.enumerate()) == before


def test_a_failed_part_ends_the_others(tmp_path, monkeypatch):
    path = write_video(tmp_path / "groups.mp4", counting_frames(60), options={"g": "5"})
    decode_wanted, stopped = packets.decode_wanted, []

    def decode(path, listing, wanted, is_stopped):
        if wanted[0] > 0:
            raise packets.Untrusted
        while not is_stopped():
            time.sleep(0.01)
        stopped.append(True)
        return decode_wanted(path, listing, wanted, lambda: False)

    monkeypatch.setattr(videos, "n_cores", lambda: 2)
    monkeypatch.setattr(packets, "decode_wanted", decode)
    before = set(threading.enumerate())
    assert read_clip(path, 60).length == 60
    assert stopped and set(threading.enumerate()) == before


WAIT = """
import sys
from trajeval import videos
clips = videos.read_clips(sys.argv[1:], 4, workers=2)
print(next(clips).length, flush=True)
{then}
"""
READ_ONE = """
import sys
from trajeval import videos
videos.n_cores = lambda: 2
print(20, flush=True)
videos.read_clip(sys.argv[2], 4)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
@pytest.mark.parametrize(
    "code", [WAIT.format(then="next(clips)"), WAIT.format(then="while True: pass"), READ_ONE]
)
def test_ctrl_c_ends_at_once(code, clip_path, endless):
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


def test_an_iterator_left_open_does_not_hold_up_the_program(clip_path, endless):
    program = [sys.executable, "-c", WAIT.format(then=""), clip_path, endless, endless]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, "20\n", "")


@pytest.mark.parametrize("left", [0.3, 0.6])
def test_a_video_that_changes_while_it_is_read(tmp_path, monkeypatch, left):
    path = write_video(tmp_path / "growing.mkv", counting_frames(60), options={"g": "5"})
    data = path.read_bytes()
    list_packets = listings.list_packets

    def list_and_cut(*arguments):
        listing = list_packets(*arguments)
        path.write_bytes(data[: int(len(data) * left)])
        return listing

    monkeypatch.setattr(listings, "list_packets", list_and_cut)
    clip = read_clip(path, 4)
    assert clip.length < 60 and "only the first" in clip.warning


def test_a_video_that_shrinks_all_the_time(tmp_path, monkeypatch):
    path = write_video(tmp_path / "shrinking.mkv", counting_frames(60), options={"g": "5"})
    monkeypatch.setattr(packets, "count_frames", lambda *_: ([*range(500)], None))
    list_packets = listings.list_packets
    monkeypatch.setattr(listings, "list_packets", lambda *a: list_packets(*a)._replace(exact=False))
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
