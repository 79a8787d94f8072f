"""Small videos for the tests, each frame carrying its own number."""

import contextlib
from fractions import Fraction

import av
import numpy as np

BITS = 8


def counting_frames(n, height=64, width=96):
    """n frames, uint8 [n, height, width, 3].

    The upper half shows the frame's number as eight black or white columns (the highest bit on
    the left; `frame_number` reads it back), the lower half a coloured texture that moves, so that
    a decoder that starts from the wrong frame shows it.
    """
    y, x = np.mgrid[:height, :width]
    frames = np.empty((n, height, width, 3), np.uint8)
    for i in range(n):
        bits = (i >> (BITS - 1 - x * BITS // width)) & 1
        number = 16 + 220 * bits[..., None]
        texture = np.stack([x * 5 + i * 7, y * 9 - i * 5, (x + 2 * i) * (y + i) // 8], axis=-1)
        frames[i] = np.where((y < height // 2)[..., None], number, texture % 256)
    return frames


def frame_number(frame):
    """The number (modulo 256) that a whole, upright frame of `counting_frames` carries."""
    upper = frame[: frame.shape[0] // 2].mean(axis=(0, 2))
    centres = (np.arange(BITS) * 2 + 1) * len(upper) // (2 * BITS)
    return int("".join("1" if upper[c] > 127 else "0" for c in centres), 2)


def whole(frame):
    """Leaves a frame at its own size."""
    return frame


def decode_everything(path):
    """All frames of a video by PyAV alone, up to the first error."""
    frames = []
    with av.open(str(path)) as container, contextlib.suppress(av.FFmpegError):
        for frame in container.decode(video=0):
            rgb = frame.reformat(format="rgb24", interpolation="BICUBIC")
            frames.append(rgb.to_ndarray())
    return frames


def encode(container, frames, codec="libx264", fps=25, pts=None, options=None, pix_fmt="yuv420p"):
    """Adds a video stream to an open container. -> (stream, its packets, not yet written)

    pts: presentation times in milliseconds (default: even, by fps).
    """
    time_base = Fraction(1, 1000) if pts else 1 / Fraction(fps)
    stream = container.add_stream(codec, rate=fps, options=options or {})
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = pix_fmt
    stream.codec_context.time_base = time_base

    def packets():
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts[i] if pts else i, time_base
            yield from stream.encode(frame)
        yield from stream.encode()

    return stream, packets()


def write_video(path, frames, codec="libx264", format=None, muxing=None, turn=None, **encoding):
    """Encodes uint8 [T, H, W, 3] frames into path and gives path back.

    muxing: options of the container. turn: (degrees counter-clockwise, mirror left and right,
    mirror top and bottom), which a player is told to do to the picture. encoding: see `encode`.
    """
    with av.open(str(path), "w", format=format, options=muxing or {}) as container:
        stream, packets = encode(container, frames, codec, **encoding)
        if turn:
            stream.set_display_rotation(*turn)
        for packet in packets:
            container.mux(packet)
    return path


def write_repeated(path, frames, times, **encoding):
    """A long video: the frames are encoded once, and their packets written `times` times."""
    with av.open(str(path), "w") as container:
        stream, packets = encode(container, frames, **encoding)
        packets = [(bytes(p), p.pts, p.dts, p.time_base, p.is_keyframe) for p in packets]
        for turn in range(times):
            for data, pts, dts, time_base, is_keyframe in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, time_base
                packet.pts, packet.dts = pts + turn * len(frames), dts + turn * len(frames)
                packet.is_keyframe = is_keyframe
                container.mux(packet)
    return path
