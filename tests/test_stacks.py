"""stacks.py: folders of images, arrays, array files and animated WebP give a video's frames."""

import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_videos import counting_frames, frame_number, whole, write_video
from PIL import Image, ImageOps

from trajeval import stacks
from trajeval.sources import Source
from trajeval.videos import VideoError, read_clip, read_clips, sample_indices

ROOT = Path(__file__).parents[1]
FRAMES = counting_frames(20, 63, 97)
# What keeps every pixel.
LOSSLESS = {"png": {}, "bmp": {}, "tiff": {}, "webp": {"lossless": True, "exact": True}, "ppm": {}}


def write_images(folder, frames, extension="png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"frame_{i}.{extension}", **options)
    return folder


def write_webp(path, frames, durations=100):
    first, *rest = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=rest, lossless=True, duration=durations)
    return path


def make(kind, folder, frames=FRAMES):
    """The same frames, read from somewhere."""
    if kind in LOSSLESS:
        return write_images(folder / kind, frames, kind, **LOSSLESS[kind])
    if kind == "array":
        return frames
    if kind == "strided array":
        return np.asfortranarray(np.concatenate([frames, frames], 2))[:, :, : frames.shape[2]]
    path = folder / f"frames.{kind.split()[-1]}"
    if kind == "npy":
        np.save(path, frames)
    elif kind == "npz":
        np.savez(path, actions=np.zeros((20, 7)), frames=frames, path=np.array("a"))
    elif kind == "compressed npz":
        np.savez_compressed(path, frames)
    elif kind == "animated webp":
        write_webp(path, frames)
    elif kind == "animated apng":
        first, *rest = map(Image.fromarray, frames)
        first.save(path, format="PNG", save_all=True, append_images=rest, duration=100)
    else:  # a video that keeps every pixel
        codec = {"mov": "png", "mp4": "libx264rgb", "mkv": "ffv1"}[kind]
        pix_fmt = "bgr0" if codec == "ffv1" else "rgb24"
        options = {"qp": "0"} if codec == "libx264rgb" else {}
        write_video(path, frames, codec=codec, pix_fmt=pix_fmt, options=options, fps=10)
    return path


KINDS = [
    *LOSSLESS,
    *("array", "strided array", "npy", "npz", "compressed npz", "animated webp", "animated apng"),
    *("mov", "mp4", "mkv"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_frames_give_the_same_pixels(kind, tmp_path):
    video = make(kind, tmp_path)
    expected = make("mov", tmp_path)
    for resize in ("crop", "stretch", whole):
        for n in (1, 8, 20, 33):
            clip, other = read_clip(video, n, resize, 40), read_clip(expected, n, resize, 40)
            assert np.array_equal(clip.frames, other.frames)
            assert clip.indices.tolist() == sample_indices(20, n).tolist()
            assert clip.length == 20 and clip.size == (97, 63) and clip.warning is None
    assert np.array_equal(read_clip(video, 20, whole).frames, FRAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_by_frames_per_second(kind, tmp_path):
    video = make(kind, tmp_path)
    timed = kind.startswith("animated") or kind in ("mov", "mp4", "mkv")
    clip = read_clip(Source(video, 0.3, 1.1, fps=10), 8, whole)
    assert clip.indices.tolist() == list(range(3, 11)) and clip.length == 8
    assert np.array_equal(clip.frames, FRAMES[3:11])
    assert clip.fps == pytest.approx(10)
    untimed = Source(video, 0.3, 1.1)
    if timed:
        assert read_clip(untimed, 8, whole).length == 8
    else:
        assert read_clip(video, 2).fps is None
        with pytest.raises(VideoError, match=r"has no times, which #t= needs: give .* \(--fps\)"):
            read_clip(untimed, 8)
        if isinstance(video, Path):
            with pytest.raises(VideoError, match=f"^{video}#t=0.3,1.1: has no times"):
                read_clip(f"{video}#t=0.3,1.1", 8)
    with pytest.raises(
        VideoError, match="#t=3,4: no frame lies in this part; the last one is at 1"
    ):
        read_clip(Source(video, 3, 4, fps=10), 8)


@settings(max_examples=60)
@given(
    start=st.none() | st.integers(0, 25),
    span=st.integers(1, 25),
    fps=st.sampled_from([10.0, 30.0, 29.97, 1.0, 0.1]),
)
def test_any_part_of_an_array(start, span, fps):
    """In tenths of a second."""
    end = (start or 0) + span
    source = Source(FRAMES, None if start is None else start / 10, end / 10, fps)
    tenths = [10 * i for i in range(20)]  # numerators over fps
    inside = [i for i, at in enumerate(tenths) if (start or 0) * fps <= at + 1e-9 < end * fps]
    if not inside:
        with pytest.raises(VideoError, match="no frame lies in this part"):
            read_clip(source, 3, whole)
    else:
        clip = read_clip(source, len(inside), whole)
        assert clip.indices.tolist() == inside and clip.length == len(inside)


def test_many_kinds_at_once_in_order(tmp_path):
    videos = []
    for i, kind in enumerate(("png", "array", "mov", "npy", "animated webp", "npz")):
        folder = tmp_path / str(i)
        folder.mkdir()
        videos.append(make(kind, folder, FRAMES[: 5 + i]))
    videos.insert(2, np.zeros((3, 4, 4, 3), np.float32))
    for workers in (1, 4):
        clips = list(read_clips(videos, 4, whole, workers=workers))
        error = clips.pop(2)
        assert isinstance(error, VideoError)
        assert str(error) == "video 2: is float32 [3, 4, 4, 3], not uint8 [T, H, W, 3]; convert it"
        assert [clip.length for clip in clips] == [5, 6, 7, 8, 9, 10]


# Images


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    for i in range(12):
        Image.fromarray(FRAMES[i]).save(tmp_path / f"frame_{i}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    clip = read_clip(tmp_path, 12, whole)
    assert list(map(frame_number, clip.frames)) == list(range(12))
    assert read_clip(f"{tmp_path}/", 12).length == 12


def test_jpegs_are_as_those_of_a_video(tmp_path):
    write_images(tmp_path / "f", FRAMES, "jpg", quality=95)
    clip = read_clip(tmp_path / "f", 20, whole)
    assert list(map(frame_number, clip.frames)) == list(range(20))
    assert np.array_equal(clip.frames[3], read_clip(tmp_path / "f/frame_3.jpg", 1, whole).frames[0])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder = write_images(tmp_path / "f", FRAMES[:3], exif=exif)
    expected = [
        np.asarray(ImageOps.exif_transpose(Image.open(p))) for p in sorted(folder.iterdir())
    ]
    clip = read_clip(folder, 3, whole)
    assert np.array_equal(clip.frames, expected)
    assert clip.size == expected[0].shape[1::-1]


def test_one_size_counts_upright(tmp_path):
    """A frame that is stored turned is of the others' size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = write_images(tmp_path / "f", FRAMES[:2])
    Image.fromarray(np.rot90(FRAMES[2]).copy()).save(folder / "frame_2.png", exif=exif)
    clip = read_clip(folder, 3, whole)
    assert np.array_equal(clip.frames, FRAMES[:3])


def test_a_single_image_is_a_still(tmp_path):
    folder = write_images(tmp_path / "f", FRAMES[:1])
    assert read_clip(folder, 4).warning == "a still picture: all 4 frames are the same"
    assert read_clip(folder, 1).warning is None


def test_pixels_of_other_kinds(tmp_path):
    image = Image.fromarray(FRAMES[5])
    for i, mode in enumerate(("RGB", "RGBA", "P", "L")):
        image.convert(mode).save(tmp_path / f"{i}.png")
    Image.fromarray(FRAMES[5][..., 0].astype(np.uint16) << 8).save(tmp_path / "4.png")
    clip = read_clip(tmp_path, 5, whole)
    assert np.array_equal(clip.frames[0], clip.frames[1])
    assert list(map(frame_number, clip.frames)) == [5] * 5


def test_links_are_followed(tmp_path):
    folder = write_images(tmp_path / "f", FRAMES[:4])
    (tmp_path / "link").symlink_to(folder)
    links = tmp_path / "links"
    links.mkdir()
    for i in range(4):
        (links / f"{i}.png").symlink_to(folder / f"frame_{3 - i}.png")
    assert read_clip(tmp_path / "link", 4).length == 4
    assert np.array_equal(read_clip(links, 4, whole).frames, FRAMES[3::-1])


def broken_link(path):
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def movie(path):
    write_video(path, counting_frames(5), format="mp4")


def animation(path):
    first, *rest = map(Image.fromarray, FRAMES[:3])
    first.save(path, save_all=True, append_images=rest)


BAD_IMAGES = {
    "smaller": (
        lambda path: Image.fromarray(FRAMES[0][:40, :50]).save(path),
        "frame_1.png is 50x40, but frame_0.png is 97x63; all frames must have one size",
    ),
    "cut": (
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        r"frame_1.png: is damaged \(.+\); save or render it again",
    ),
    "empty": (lambda path: path.write_bytes(b""), r"frame_1.png: is empty \(0 bytes\)"),
    "text": (
        lambda path: path.write_text("no image" * 99),
        r"frame_1.png: is damaged \(Invalid data.*\); save or render it again",
    ),
    "a broken link": (broken_link, "frame_1.png: No such file or directory; check the path"),
    "a pipe": (pipe, "frame_1.png: is not a regular file"),
    "a video": (movie, "frame_1.png: is a video; a folder of frames holds one image in each file"),
    "animated": (animation, "frame_1.png: is a video; a folder of frames holds one image"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_named(name, tmp_path, capfd):
    change, message = BAD_IMAGES[name]
    folder = write_images(tmp_path / "f", FRAMES[:4])
    change(folder / "frame_1.png")
    with pytest.raises(VideoError, match=f"^{folder}: {message}"):
        read_clip(folder, 4)
    assert read_clip(folder, 2).length == 4  # samples 0 and 2
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_that_ends_early(tmp_path):
    folder = write_images(tmp_path / "f", FRAMES[:2], "jpg")
    path = folder / "frame_1.jpg"
    data = path.read_bytes()
    path.write_bytes(data + b"\0\0 trailer of a camera")
    assert read_clip(folder, 2).length == 2
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=r"frame_1.jpg: is damaged \(it ends early\); save or"):
        read_clip(folder, 2)
    assert read_clip(path, 1).warning == "damaged (it ends early); the first 1 frames could be read"


def test_a_jpeg_with_a_thumbnail_that_ends_early(tmp_path):
    thumbnail = io.BytesIO()
    Image.fromarray(FRAMES[0][:16, :16]).save(thumbnail, "JPEG")
    block = thumbnail.getvalue()
    path = tmp_path / "a.jpg"
    Image.fromarray(FRAMES[1]).save(path)
    data = path.read_bytes()
    with_block = data[:2] + b"\xff\xe5" + struct.pack(">H", len(block) + 2) + block + data[2:]
    path.write_bytes(with_block)
    assert read_clip(path, 1).warning is None
    path.write_bytes(with_block[:-300])
    assert "it ends early" in read_clip(path, 1).warning


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "is a folder without numbered images; name a video file in it"),
        (["1.png", "cover.png"], "the image cover.png has no number in its name"),
        (["1.png", "01.png"], "the images 01.png and 1.png have the same number"),
    ],
)
def test_folders_that_are_no_trajectory(names, message, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(VideoError, match=message):
        read_clip(tmp_path, 4)


# Arrays


def zipped(**arrays):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in arrays.items():
            archive.writestr(name.replace("_", "."), content)
    return data.getvalue()


def saved(array, **options):
    data = io.BytesIO()
    np.save(data, array, **options)
    return data.getvalue()


def header(text):
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


GOOD = saved(FRAMES)
KIND = r"not uint8 \[T, H, W, 3\]"
BAD_ARRAYS = {
    "floats": (saved(FRAMES / np.float32(255)), rf"is float32 \[20, 63, 97, 3\], {KIND}; convert"),
    "channels first": (
        saved(FRAMES.transpose(0, 3, 1, 2).copy()),
        rf"is uint8 \[20, 3, 63, 97\], {KIND}",
    ),
    "one frame": (saved(FRAMES[0]), rf"is uint8 \[63, 97, 3\], {KIND}"),
    "grey": (saved(FRAMES[..., :1]), rf"is uint8 \[20, 63, 97, 1\], {KIND}"),
    "alpha": (saved(np.zeros((2, 4, 4, 4), np.uint8)), rf"is uint8 \[2, 4, 4, 4\], {KIND}"),
    "no frames": (saved(FRAMES[:0]), r"is empty, uint8 \[0, 63, 97, 3\]"),
    "no pixels": (saved(FRAMES[:, :0]), r"is empty, uint8 \[20, 0, 97, 3\]"),
    "scalar": (saved(np.uint8(3)), rf"is uint8 \[\], {KIND}"),
    "a pickle": (saved(np.array([{}, 1]), allow_pickle=True), rf"is object \[2\], {KIND}"),
    "Fortran order": (saved(np.asfortranarray(FRAMES)), "is in Fortran order"),
    "ends early": (GOOD[:-1], r"ends early: it should hold uint8 \[20, 63, 97, 3\]; save it again"),
    "header cut": (GOOD[:20], "is not an array"),
    "huge": (
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 9, 9, 3)}"),
        "ends early: it should hold uint8",
    ),
    "negative": (
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 9, 9, 3)}"),
        rf"is uint8 \[-2, 9, 9, 3\], {KIND}",
    ),
    "code": (header("__import__('os').abort()"), "is not an array"),
    "version 9": (b"\x93NUMPY\x09\x00" + GOOD[8:], "is not an array|is an array in format 9"),
    "npz without frames": (
        zipped(a_npy=saved(np.zeros(3)), b_npy=saved(FRAMES[0])),
        r"holds no array uint8 \[T, H, W, 3\], only a float64 \[3\], b uint8 \[63, 97, 3\]",
    ),
    "npz with two": (
        zipped(a_npy=GOOD, b_npy=GOOD),
        r"holds several arrays uint8 \[T, H, W, 3\] \(a uint8 \[20, 63, 97, 3\], b uint8",
    ),
    "empty npz": (zipped(), r"holds no array uint8 \[T, H, W, 3\], only nothing"),
    "some zip": (zipped(a_txt=b"x"), r"holds no array uint8 \[T, H, W, 3\], only nothing"),
    "npz with a bad member": (zipped(a_npy=b"nothing"), "is not an array"),
    "npz cut": (zipped(a_npy=GOOD)[:5000], r"is damaged \(File is not a zip file\); save it again"),
    "npz member cut": (zipped(a_npy=GOOD[:-5]), "ends early: it should hold uint8"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_array_files_are_named(name, tmp_path):
    content, message = BAD_ARRAYS[name]
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=f"^{path}: ({message})"):
        read_clip(path, 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (FRAMES[0], rf"^the array: is uint8 \[63, 97, 3\], {KIND}"),
        (FRAMES.astype(int), rf"^the array: is int64 \[20, 63, 97, 3\], {KIND}"),
        (FRAMES[:0], r"^the array: is empty, uint8 \[0, 63, 97, 3\]"),
    ],
)
def test_bad_arrays(array, message):
    with pytest.raises(VideoError, match=message):
        read_clip(array, 4)


def test_a_compressed_array_with_wrong_bytes(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, FRAMES)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"is damaged \(.*\); save it again"):
        read_clip(path, 20)


def test_an_array_file_that_shrinks_while_it_is_read(tmp_path):
    """A memory map of it would end the process (SIGBUS)."""
    path = tmp_path / "a.npy"
    np.save(path, FRAMES)
    stack = stacks.open_stack(Source(path))
    numbered = stack.read(range(20))
    next(numbered)
    os.truncate(path, 2000)
    with pytest.raises(stacks.Unusable, match="changed while it was being read"):
        list(numbered)


# WebP


def test_times_of_an_animated_webp(tmp_path):
    durations = [100, 300, 50, 50, 500, 100]
    path = write_webp(tmp_path / "a.webp", FRAMES[:6], durations)
    assert read_clip(path, 6, whole).fps == pytest.approx(6 / 1.1)
    clip = read_clip(f"{path}#t=0.4,0.5", 2, whole)
    assert clip.indices.tolist() == [2, 3] and np.array_equal(clip.frames, FRAMES[2:4])


def test_an_animated_webp_that_is_damaged(tmp_path, capfd):
    path = write_webp(tmp_path / "a.webp", FRAMES)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=r"a.webp: is damaged \(it ends early\); record or"):
        read_clip(path, 4)
    spoilt = bytearray(data)
    spoilt[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    path.write_bytes(spoilt)
    with pytest.raises(VideoError, match=r"a.webp: is damaged \(.*\); record or download it again"):
        read_clip(path, 20)
    assert capfd.readouterr() == ("", "")


def test_imageio_is_imported_for_webp_alone(tmp_path):
    code = """
import sys
from trajeval.videos import read_clip
for path in sys.argv[1:]:
    read_clip(path, 2)
    print("imageio" in sys.modules)
"""
    paths = [make(kind, tmp_path) for kind in ("png", "npy", "animated apng", "animated webp")]
    command = [sys.executable, "-c", code, *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False", "True"]


# Memory

PEAK = """
import resource, sys
from trajeval import videos
clip = videos.read_clip(sys.argv[1], 8)
print(clip.length, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory in kilobytes")
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_array_file_is_not_held_in_memory(name, tmp_path):
    peaks = []
    for length in (10, 200):
        path = tmp_path / name
        frames = np.zeros((length, 720, 1280, 3), np.uint8)
        (np.save if name == "a.npy" else np.savez_compressed)(path, frames)
        del frames
        command = [sys.executable, "-c", PEAK, path]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found, kilobytes = map(int, done.stdout.split())
        assert found == length
        peaks.append(kilobytes / 1024)
    assert peaks[1] - peaks[0] < 40, peaks  # the array is of 553 MB
