"""Frames that are not a video: a folder of images, an array, an array file, an animated WebP.

Only the sampled frames are read, one at a time.
"""

import contextlib
import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np

from trajeval.containers import (
    CHANGED,
    Damaged,
    Unusable,
    check_file,
    ends_early,
    open_video,
    read_packets,
)
from trajeval.frames import orientation
from trajeval.packets import decode
from trajeval.sources import Source, frames_in

NPY, ZIP = b"\x93NUMPY", b"PK"
KIND = "uint8 [T, H, W, 3]"


class Stack(NamedTuple):
    """length: how many frames there are. read: takes frame numbers, ascending, and yields each with
    its av.VideoFrame; raises Unusable. times: int64 [length], when each is shown, in units of
    time_base seconds, None if unknown. fps: frames a second, None if unknown."""

    length: int
    read: Callable[[Iterable[int]], Iterator[tuple[int, av.VideoFrame]]]
    times: np.ndarray | None
    time_base: Fraction | None
    fps: float | None


def open_stack(source: Source) -> Stack | None:
    """The frames of a source that is not a video, None if it is one. Raises Unusable."""
    path = source.path
    if path is None:
        return of_array(source.origin)
    if os.path.isdir(path):
        return of_folder(path)
    head = check_file(path)
    if head.startswith((NPY, ZIP)):
        return of_array_file(path)
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2:
        return of_webp(path)
    return None


def untimed(length: int, read) -> Stack:
    """A stack of frames that have no times of their own."""
    return Stack(length, read, None, None, None)


# --- images


def of_folder(folder: str) -> Stack:
    try:
        names = frames_in(folder)
    except OSError as error:
        raise Unusable(f"{error.strerror}; check its permissions") from None
    except ValueError as error:
        raise Unusable(f"{error}; rename or move it") from None
    if not names:
        raise Unusable("is a folder without numbered images; name a video file in it")

    def read(numbers):
        first = None
        for i in numbers:
            frame = read_image(folder, names[i])
            size = frame.width, frame.height
            if orientation(frame)[0]:
                size = size[::-1]
            first = first or (names[i], *size)
            if size != first[1:]:
                raise Unusable(
                    f"{names[i]} is {size[0]}x{size[1]}, but {first[0]} is {first[1]}x{first[2]}; "
                    "all frames must have one size"
                )
            yield i, frame

    return untimed(len(names), read)


def read_image(folder: str, name: str) -> av.VideoFrame:
    """The image in a file. Raises Unusable."""
    path, damage, found = os.path.join(folder, name), None, []
    try:
        head = check_file(path)
        with open_video(path) as (container, stream):
            packets = read_packets(container, stream, lambda: False)
            frames = (frame for p in packets for frame in decode(stream.codec_context, p))
            found = list(itertools.islice(frames, 2))
            if ends_early(head, path, container, stream):
                damage = "it ends early"
    except Unusable as error:
        raise Unusable(f"{name}: {error}") from None
    except Damaged as error:
        damage = str(error)
    if damage or not found:
        raise Unusable(f"{name}: is damaged ({damage or 'no image'}); save or render it again")
    if len(found) > 1:
        raise Unusable(f"{name}: is a video; a folder of frames holds one image in each file")
    return found[0]


# --- arrays


def of_array(array) -> Stack:
    check_kind(array.dtype, array.shape)
    array = np.asarray(array)
    return untimed(len(array), lambda numbers: ((i, frame_of(array[i])) for i in numbers))


def check_kind(dtype, shape, fortran: bool = False) -> None:
    """Raises Unusable for an array that does not hold frames."""
    if not is_kind(dtype, shape):
        raise Unusable(f"is {dtype} {list(shape)}, not {KIND}; convert it")
    if 0 in shape:
        raise Unusable(f"is empty, {dtype} {list(shape)}")
    if fortran:
        raise Unusable("is in Fortran order; save np.ascontiguousarray of it")


def is_kind(dtype, shape) -> bool:
    return dtype == np.uint8 and len(shape) == 4 and shape[3] == 3 and min(shape) >= 0


def frame_of(pixels: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")


def of_array_file(path: str) -> Stack:
    """The array in a .npy file, or the only one of its kind in a .npz file. It is not mapped into
    memory, as a file that shrinks meanwhile would then end the process."""
    with open_array(path) as (_, shape):
        length, height, width, _ = shape

    def read(numbers):
        with open_array(path) as (file, found):
            if found != shape:
                raise Unusable(CHANGED)
            start, size = file.tell(), height * width * 3
            for i in numbers:
                file.seek(start + i * size)
                data = file.read(size)
                if len(data) < size:
                    raise Unusable(CHANGED)
                yield i, frame_of(np.frombuffer(data, np.uint8).reshape(height, width, 3))

    return untimed(length, read)


@contextlib.contextmanager
def open_array(path: str):
    """Yields a file at the array's first byte, and the array's shape. Raises Unusable."""
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(path, "rb"))
            n_bytes = os.fstat(file.fileno()).st_size
            if file.peek(2)[:2] == ZIP:
                archive = stack.enter_context(zipfile.ZipFile(file))
                member = frames_member(archive)
                file, n_bytes = stack.enter_context(archive.open(member)), member.file_size
            shape, fortran, dtype = read_header(file)
            check_kind(dtype, shape, fortran)
            if file.tell() + np.prod(shape, dtype=object) > n_bytes:
                raise Unusable(f"ends early: it should hold {dtype} {list(shape)}; save it again")
            yield file, shape
    except OSError as error:
        raise Unusable(f"{error.strerror or error}; check the file") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise Unusable(f"is damaged ({error}); save it again") from None


def frames_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The member of a .npz file that holds frames. Raises Unusable unless it is one."""
    found, others = [], []
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            continue
        with archive.open(member) as file:
            shape, _, dtype = read_header(file)
        of = found if is_kind(dtype, shape) else others
        of.append((member, f"{member.filename.removesuffix('.npy')} {dtype} {list(shape)}"))
    if len(found) == 1:
        return found[0][0]
    listed = ", ".join(text for _, text in (found or others)[:5]) or "nothing"
    if found:
        raise Unusable(f"holds several arrays {KIND} ({listed}); save one to a file")
    raise Unusable(f"holds no array {KIND}, only {listed}")


def read_header(file) -> tuple:
    """The shape, the order (whether Fortran's) and the type of an array in NumPy's format."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        if version == (2, 0):
            return np.lib.format.read_array_header_2_0(file)
    except ValueError as error:
        raise Unusable(f"is not an array ({str(error).partition(chr(10))[0]})") from None
    raise Unusable(f"is an array in format {version[0]}.{version[1]}, not {KIND}")


# --- WebP


def of_webp(path: str) -> Stack:
    """An animated WebP, which FFmpeg cannot read."""
    with open(path, "rb") as file:
        ends = list(itertools.accumulate(webp_durations(file)))
    if not ends:
        raise Unusable("holds no frame")
    times = np.array([0, *ends[:-1]])

    def read(numbers):
        import imageio.v3 as iio

        try:
            images: Any = iio.imopen(path, "r", plugin="pillow")
            with images:
                for i in numbers:
                    yield i, frame_of(images.read(index=i, mode="RGB"))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise Unusable(f"is damaged ({error}); record or download it again") from None

    fps = len(ends) * 1000 / ends[-1] if ends[-1] else None
    return Stack(len(ends), read, times, Fraction(1, 1000), fps)


def webp_durations(file) -> Iterator[int]:
    """How long each frame of an animated WebP is shown, in milliseconds (WebP Container
    Specification, "Animation"). Raises Unusable if the file ends early."""
    n_bytes = os.fstat(file.fileno()).st_size
    at = 12
    while at + 8 <= n_bytes:
        file.seek(at)
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if at + 8 + size > n_bytes:
            raise Unusable("is damaged (it ends early); record or download it again")
        if name == b"ANMF":
            yield int.from_bytes(file.read(16)[12:15], "little")
        at += 8 + size + size % 2
