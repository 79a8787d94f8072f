"""Reading 32 frames of a video, compared with decoding all of it with imageio."""

import sys
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
from measuring import Row, compared, fastest, limited, run
from PIL import Image

from trajeval.videos import read_clip, read_clips, sample_indices

N_FRAMES, SIDE = 32, 224
MOST_ABOVE_IDLE = 300  # MB
MOST_SLOWER = 1.5


def rows(folder: Path, quick: bool) -> Iterator[Row]:
    print("decoding", file=sys.stderr)
    rounds = 2 if quick else 5
    for n, height, width in ((200, 480, 480), (420, 360, 480)):
        path = make_video(folder / f"{n}.mp4", n, height, width)
        ours, plain = partial(read_clip, path, N_FRAMES), partial(read_all, path)
        seconds = fastest({"ours": (ours, 1), "plain": (plain, 1)}, rounds)
        yield compared(f"{n} frames of {width}x{height}", *seconds.values(), 3.5)

    yield parts(folder, 10 if quick else 100)

    # imageio would decode ten minutes of 1080p into an array of 112 GB, so it reads frame by frame.
    # --quick takes one minute; the memory is the same.
    minutes = 1 if quick else 10
    for gap in (50,) if quick else (50, 250):
        short = make_video(folder / f"short_{gap}.mp4", gap, 1080, 1920, gap)
        long = lengthen(short, folder / f"long_{gap}.mp4", minutes * 60 * 30 // gap)
        ours, plain = partial(read_clip, long, N_FRAMES), partial(read_one_by_one, long)
        seconds = fastest({"ours": (ours, 1)}, 1) | fastest({"plain": (plain, 1)}, 0)
        aim = None if quick else 20
        name = f"{minutes} min of 1920x1080, a keyframe every {gap}"
        yield compared(name, seconds["ours"], seconds["plain"], aim)
        used = peak(f"videos.read_clip({str(long)!r}, {N_FRAMES})") - peak("None")
        yield limited(f"{name}: memory above idle", used / 1e6, MOST_ABOVE_IDLE, "MB")


def parts(folder: Path, n: int) -> Row:
    """n parts of a video, of 6 s each, compared with n files of that length."""
    gap, length = 50, 180
    long = make_video(folder / "groups.mp4", gap, 1080, 1920, gap)
    long = lengthen(long, folder / "long.mp4", n * length // gap)
    short = make_video(folder / "part.mp4", length, 1080, 1920, gap)
    files = [folder / f"part_{i}.mp4" for i in range(n)]
    for file in files:
        file.write_bytes(short.read_bytes())
    listed = [f"{long}#t={6 * i},{6 * (i + 1)}" for i in range(n)]

    def read(videos):
        assert [clip.length for clip in read_clips(videos, N_FRAMES)] == [length] * n

    seconds = fastest({"parts": (partial(read, listed), n), "files": (partial(read, files), n)}, 1)
    what = f"{n} parts of 6 s of one video of 1920x1080: time, over that of {n} files"
    return limited(what, seconds["parts"] / seconds["files"], MOST_SLOWER, "")


def read_all(path: Path) -> np.ndarray:
    """The baseline: all frames at once."""
    video = iio.imread(path, plugin="pyav")
    return np.stack([scaled(frame) for frame in video[sample_indices(len(video), N_FRAMES)]])


def read_one_by_one(path: Path) -> np.ndarray:
    """The baseline for videos that do not fit into memory: frame by frame."""
    length = iio.improps(path, plugin="pyav").shape[0]
    wanted = set(sample_indices(length, N_FRAMES).tolist())
    frames = enumerate(iio.imiter(path, plugin="pyav"))
    return np.stack([scaled(frame) for i, frame in frames if i in wanted])


def scaled(frame: np.ndarray) -> np.ndarray:
    image = Image.fromarray(frame)
    scale = SIDE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.BICUBIC)
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def peak(expression: str) -> int:
    """Peak memory in bytes of a process that imports videos.py and evaluates an expression."""
    return run("-c", f"from trajeval import videos; {expression}").peak


def make_video(path: Path, n: int, height: int, width: int, gap: int = 250, seed: int = 0) -> Path:
    """n frames of H.264 at 30 fps: a moving background, a ball, some noise. gap: the most frames
    between keyframes; x264's default is 250."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ground = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    ground = ground.repeat(8, 0).repeat(8, 1)[:height, :width]
    noise = rng.integers(-4, 5, ground.shape, np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"g": str(gap), "preset": "veryfast"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(n):
            frame = np.roll(ground, 3 * i, 1)
            cy, cx = height * (2 + np.sin(i / 9)) / 4, width * (2 + np.cos(i / 13)) / 4
            frame[(y - cy) ** 2 + (x - cx) ** 2 < (height / 8) ** 2] = (255, i % 256, 0)
            frame = np.clip(frame + np.roll(noise, 7 * i, 0), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def lengthen(source: Path, path: Path, times: int) -> Path:
    """Repeats the packets of a video, which saves minutes of encoding."""
    with av.open(str(source)) as short, av.open(str(path), "w") as long:
        stream = long.add_stream_from_template(short.streams.video[0])
        packets = [packet for packet in short.demux(short.streams.video[0]) if packet.size]
        kept = [(bytes(p), p.pts, p.dts, p.is_keyframe, p.time_base, p.duration) for p in packets]
        for turn in range(times):
            for data, pts, dts, is_keyframe, time_base, duration in kept:
                packet = av.Packet(data)
                offset = turn * len(kept) * duration
                packet.pts, packet.dts, packet.duration = pts + offset, dts + offset, duration
                packet.is_keyframe, packet.time_base, packet.stream = is_keyframe, time_base, stream
                long.mux(packet)
    return path


def make_trajectories(folder: Path, n: int) -> Path:
    """Writes n files, copies of a few videos of 120 to 200 frames. -> the path of their list"""
    folder.mkdir(exist_ok=True)
    videos, different = [], min(8, n // 4)
    for seed in range(different):
        path = folder / f"source_{seed}.mp4"
        if not path.exists():
            make_video(path, 120 + 80 * seed // different, 480, 480, seed=seed)
        videos.append(path.read_bytes())
    paths = [folder / f"trajectory_{i:04}.mp4" for i in range(n)]
    for path, content in zip(paths, cycle(videos)):
        path.write_bytes(content)
    listed = folder / f"{n}.txt"
    listed.write_text("".join(f"{path}\n" for path in paths))
    return listed
