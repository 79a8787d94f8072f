"""Decoded frames -> pixels: RGB, scaled, upright."""

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import VideoReformatter

from trajeval.containers import CHANGED, Unusable


def collect(numbered, indices, resize, size):
    """Converts the frames at indices out of (i, frame) pairs.

    -> [T, ...], uint8 [T, H, W, 3] unless a function resizes; (width, height) of the upright video
    """
    reformatter, missing, frames = VideoReformatter(), set(indices.tolist()), None
    for i, frame in numbered:
        if i not in missing:
            continue
        try:
            pixels, upright = upright_pixels(frame, resize, size, reformatter)
            prepared = resized(pixels, resize)
            if frames is None:
                frames = np.empty((len(indices), *prepared.shape), prepared.dtype)
                video_size = upright
            elif prepared.shape != frames.shape[1:]:  # the size changes within the video
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                pixels = scaled(frame, *video_size, reformatter)
                prepared = resized(pixels, resize)
        except av.FFmpegError as error:
            raise Unusable(
                f"its {frame.format.name} pixels cannot be converted to RGB "
                f"({error.strerror}); convert it to H.264"
            ) from None
        frames[indices == i] = prepared
        missing.remove(i)
        if not missing:
            return frames, video_size
    raise Unusable(CHANGED)


def upright_pixels(frame, resize, size, reformatter):
    """One frame as uint8 [H, W, 3], scaled unless a function does that, and upright, and the
    upright (width, height) before."""
    width, height = frame.width, frame.height
    if resize == "crop":
        scale = size / min(width, height)
        pixels = scaled(frame, round(width * scale), round(height * scale), reformatter)
    elif resize == "stretch":
        pixels = scaled(frame, size, size, reformatter)
    else:
        pixels = scaled(frame, width, height, reformatter)
    transposed, down, across = orientation(frame)
    if transposed:
        pixels, (width, height) = pixels.swapaxes(0, 1), (height, width)
    pixels = pixels[::down, ::across]
    if resize == "crop":
        top, left = ((n - size) // 2 for n in pixels.shape[:2])
        pixels = pixels[top : top + size, left : left + size]
    return pixels, (width, height)


def orientation(frame):
    """How a frame becomes upright: whether to transpose it, then the steps, 1 or -1, in which its
    rows and columns are taken."""
    # The display matrix [a b; c d] maps (x, y) to (ax + cy, bx + dy): flips and quarter turns.
    matrix = side_data(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return False, 1, 1
    (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    transposed = abs(b) > abs(a)
    if transposed:
        a, d = c, b
    return transposed, -1 if d < 0 else 1, -1 if a < 0 else 1


def side_data(frame):
    """What a decoder says of a frame. frame.side_data would make the frame part of a reference
    cycle, and so hold its memory until Python looks for cycles."""
    try:
        return SideDataContainer(frame)  # ty: ignore[too-many-positional-arguments]
    except ValueError:  # of a type that PyAV has no name for, such as EXIF
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        unknown = set(range(64)).difference(kind.value for kind in Type)
        deletions = [graph.add("sidedata", f"mode=delete:type={kind}") for kind in unknown]
        graph.link_nodes(source, *deletions, graph.add("buffersink")).configure()
        graph.push(frame)
        return SideDataContainer(graph.pull())  # ty: ignore[too-many-positional-arguments]


def resized(pixels, resize):
    """What a function makes of a frame; the frame itself if there is none."""
    if not callable(resize):
        return pixels
    try:
        return np.asarray(resize(np.ascontiguousarray(pixels)))
    except ValueError as error:
        height, width = pixels.shape[:2]
        raise Unusable(f"{error} (its frames are {width}x{height})") from None


def scaled(frame, width, height, reformatter):
    """uint8 [height, width, 3]"""
    rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation="BICUBIC", threads=1)
    return rgb.to_ndarray()
