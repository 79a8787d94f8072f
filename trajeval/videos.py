"""One video file to n frames, evenly spread over it: uint8 [T, H, W, 3].

A file is read twice. The first pass lists its packets without decoding them: how many frames
there are, when each is shown, and where decoding can start. The second decodes from the last
keyframe before each wanted frame, and converts and scales only the wanted ones; where cores are
free, several parts of the video go through it side by side. Where a list of packets cannot tell
the frames for certain (some formats, some codecs, damage), every frame is decoded and counted
instead: slower, in the same memory, and the same frames.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import operator
import os
import stat
import threading
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from trajeval.devices import n_cores
from trajeval.terminal import UserError

RESIZES = ("crop", "stretch", "half")

# Where each packet has its frame's presentation time (avi: only if frames are not reordered) ...
TIMED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
# ... and holds one frame, and a keyframe needs nothing before it.
FRAME_PER_PACKET = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg"}
TEXT_ART = {"ansi", "bintext", "idf", "xbin"}  # FFmpeg would draw a .txt file as a picture
MPEG4_EMPTY_FRAME = 16  # bytes; a smaller packet may say "nothing changed" and give no frame
ATTACHED_PICTURE = av.stream.Disposition.attached_pic  # the cover of a sound file
MAX_WORKERS = 8
NO_PTS = np.iinfo(np.int64).min


class VideoError(UserError):
    """A video that cannot be used; the message names the file."""


class Clip(NamedTuple):
    """Frames of one video.

    frames: uint8 [T, H, W, 3], RGB, upright. indices: int64 [T], which frames of the video these
    are, ascending (a short video repeats frames). length: how many frames the video has, or how
    many of them could be read. size: (width, height) in pixels of the upright video before
    resizing. warning: None, or what was wrong with the file.
    """

    frames: np.ndarray
    indices: np.ndarray
    length: int
    size: tuple[int, int]
    warning: str | None


def sample_indices(length, n_frames):
    """Which frames stand for a video of `length` frames: i * length // n, int64 [n_frames].

    Raises ValueError if length or n_frames is below 1.
    """
    if length < 1 or n_frames < 1:
        raise ValueError(f"length and n_frames must be at least 1, got {length} and {n_frames}")
    return np.arange(n_frames, dtype=np.int64) * length // n_frames


def read_clip(path, n_frames, resize="crop", size=224):
    """Reads n_frames frames, evenly spread over the video at path, as a Clip.

    resize: "crop" scales the shorter side to `size` pixels and cuts out the centre square;
    "stretch" scales to size by size; "half" leaves the frames at their own size, since the network
    script halves them itself, in floating point (frames of another size than the first are scaled
    to the first's). Scaling is FFmpeg's bicubic; pixels are taken as square. A function is given
    each frame at its own size, uint8 [H, W, 3], and answers with uint8 [h, w, 3].

    A video damaged in the middle is used up to the damage, and the clip has a warning; damage that
    no wanted frame depends on goes unseen. Raises VideoError if no frame can be read.
    """
    stop = threading.Event()
    try:
        return _read(path, n_frames, resize, size, _most_workers(), stop)
    finally:
        stop.set()


def read_clips(paths, n_frames, resize="crop", size=224, workers=None):
    """Yields, for each path in turn, its Clip, or its VideoError if it cannot be read.

    As many as `workers` videos (default: one per core, at most 8) are decoded ahead of the one last
    asked for, each in a thread. Closing the iterator ends them. The other arguments are those of
    `read_clip`.
    """
    workers = workers or _most_workers()
    at_once = min(workers, operator.length_hint(paths, workers))
    n_parts = max(1, _most_workers() // max(1, at_once))  # of each, if they are few
    stop, pending = threading.Event(), collections.deque()

    def read(path):
        try:
            return _read(path, n_frames, resize, size, n_parts, stop)
        except VideoError as error:
            return error
        except MemoryError:
            return VideoError(f"{path}: too large for the memory; scale it down")

    try:
        for path in paths:
            pending.append(_started(read, path))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        stop.set()


def _most_workers():
    """How many videos, or parts of one, are decoded at a time."""
    return min(MAX_WORKERS, n_cores())


def _started(function, *arguments):
    """The Future of a function that runs in a thread of its own. That is a daemon, which unlike an
    executor's does not hold up the end of the program."""
    future = concurrent.futures.Future()

    def work():
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


class _Damaged(Exception):
    """The file cannot be read on; says why. pts: when the first bad frame is shown, if known."""

    def __init__(self, reason, pts=None):
        super().__init__(reason)
        self.pts = pts


class _Untrusted(Exception):
    """The packets did not give the frames that their list promised."""


class _Stopped(Exception):
    """Nobody wants this clip any more."""


class _Listing(NamedTuple):
    """The packets of a video, in the order of the file (the order of decoding)."""

    pts: np.ndarray  # int64 [P], when the packet's frame is shown
    key: np.ndarray  # bool [P], decoding can start here
    order: np.ndarray  # int64 [length], which packet holds the i-th frame shown
    exact: bool  # whether `order` can be relied on
    claimed: int  # frames that the container says it has, 0 if it does not say
    damage: str | None


def _read(path, n_frames, resize, size, n_parts, stop):
    if not callable(resize) and resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, got {resize!r}")
    if n_frames < 1 or (not callable(resize) and size < 1):
        raise ValueError(f"n_frames and size must be at least 1, got {n_frames} and {size}")
    path = os.fsdecode(path)
    _check_file(path)
    listing = _list_packets(path, stop)
    length, damage = len(listing.order), listing.damage
    try:
        if not listing.exact:
            raise _Untrusted
        indices = sample_indices(length, n_frames)
        frames, upright = _read_parts(path, listing, indices, n_parts, resize, size, stop)
    except _Untrusted:
        length, damage = _count_frames(path, listing, stop)
        if listing.exact and length < len(listing.order):
            damage = damage or "it ends early"
        damage = damage or listing.damage
        if length == 0:
            problem = f"damaged from the first frame ({damage})" if damage else "holds no frame"
            raise VideoError(f"{path}: {problem}; record or download it again") from None
        indices = sample_indices(length, n_frames)
        numbered = _decode_all(path, listing, stop)
        try:
            frames, upright = _collect(path, numbered, indices, resize, size)
        except _Damaged:
            raise _changed(path) from None
    total = max(listing.claimed, len(listing.order))
    warning = None
    if damage:
        used = f"only the first {length} of {total}" if total > length else f"the first {length}"
        warning = f"damaged ({damage}); {used} frames could be read"
    return Clip(frames, indices, length, upright, warning)


def _check_file(path):
    """Raises VideoError for what is plainly no video, before FFmpeg sees it."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise VideoError(f"{path}: {getattr(error, 'strerror', error)}; check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{path}: is a folder; name a video file in it")
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: is not a regular file; name a video file")
    if status.st_size == 0:
        raise VideoError(f"{path}: is empty (0 bytes); record or download it again")


@contextlib.contextmanager
def _open(path):
    """The container and the video stream of a file."""
    try:
        # "file:" and the whitelist: a name with a colon is no address, a playlist gets no network
        container = av.open(
            "file:" + path, options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except PermissionError as error:
        raise VideoError(f"{path}: {error.strerror}; check who may read it") from None
    except av.FFmpegError as error:
        raise VideoError(
            f"{path}: is not a video that FFmpeg can read ({error.strerror}); check the file"
        ) from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & ATTACHED_PICTURE]
        if not streams:
            raise VideoError(f"{path}: has no video stream; check that it is the right file")
        stream = streams[0]
        if stream.codec_context is None:
            raise VideoError(f"{path}: FFmpeg has no decoder for it; convert it to H.264")
        if stream.codec_context.name in TEXT_ART:
            raise VideoError(f"{path}: is a text file, not a video; check the path")
        stream.codec_context.thread_count = 1  # several lose the marks of frames that are damaged
        yield container, stream


def _packets(container, stream, stop):
    """Yields the stream's packets, then None to flush the decoder, then raises _Damaged if that
    was not the true end."""
    damage = None
    try:
        for packet in container.demux(stream):
            if stop.is_set():
                raise _Stopped
            if packet.is_corrupt:
                damage = "a part of it is missing"
                break
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        damage = error.strerror
    yield None
    if damage:
        raise _Damaged(damage)


def _decode(context, packet):
    """The frames that the decoder has ready after this packet."""
    damage, frames = None, []
    try:
        frames = context.decode(packet)
    except av.FFmpegError as error:
        damage = _Damaged(error.strerror, packet and packet.pts)
        with contextlib.suppress(av.FFmpegError):
            frames = context.decode(None)  # what it held back before the damage
    for frame in frames:
        if frame.is_corrupt:
            raise _Damaged("a frame is incomplete", frame.pts)
        yield frame
    if damage:
        raise damage


def _list_packets(path, stop):
    """The first pass: what the packets say of themselves. -> _Listing"""
    pts, key, shown, plain, damage = [], [], [], True, None
    with _open(path) as (container, stream):
        codec = stream.codec_context.name
        try:
            for packet in _packets(container, stream, stop):
                if packet is None:
                    continue
                pts.append(NO_PTS if packet.pts is None else packet.pts)
                key.append(packet.is_keyframe)
                shown.append(not _is_hidden(codec, packet))
                plain &= not packet.is_discard
                plain &= codec != "mpeg4" or packet.size > MPEG4_EMPTY_FRAME
            damage = "it ends early" if _ends_early(path, container, stream) else None
        except _Damaged as error:
            damage = str(error)
        plain &= codec in FRAME_PER_PACKET and container.format.name in TIMED_CONTAINERS
        plain &= container.format.name != "avi" or not stream.codec_context.has_b_frames
        claimed = stream.frames
    pts, key, shown = np.array(pts, np.int64), np.array(key, bool), np.array(shown, bool)
    order = np.flatnonzero(shown)
    order = order[np.argsort(pts[order], kind="stable")]
    return _Listing(pts, key, order, plain and _is_orderly(pts, key, order), claimed, damage)


def _ends_early(path, container, stream):
    """Whether an MP4, Matroska or AVI file is shorter than its head says, which FFmpeg passes over
    (in MP4 where the cut is between two packets)."""

    def number(at):  # Matroska's: as many bytes in all as the first has leading zeros, and one
        width = 9 - head[at].bit_length()
        value = int.from_bytes(head[at : at + width], "big") - (1 << 7 * width)
        return at + width, value, value == (1 << 7 * width) - 1  # all ones: unknown

    try:
        with open(path, "rb") as file:
            head, actual = file.read(256), os.fstat(file.fileno()).st_size
        if container.format.name.startswith("mov"):
            return any(entry.pos + entry.size > actual for entry in stream.index_entries)
        if head.startswith(b"RIFF"):
            stated = int.from_bytes(head[4:8], "little")
            return 8 + stated > actual and stated != 0xFFFFFFFF
        if head.startswith(b"\x1a\x45\xdf\xa3"):
            start, length, _ = number(4)
            segment, length, unknown = number(start + length + 4)
            return not unknown and segment + length > actual
    except (IndexError, OSError):  # a head longer than we read, or not even that left
        pass
    return False


def _is_hidden(codec, packet):
    """Whether the packet's frame is only for other frames to refer to (VP8 and VP9 have such)."""
    if codec == "vp8":
        return not memoryview(packet)[0] & 0x10  # RFC 6386, 9.1: show_frame
    if codec == "vp9":  # bitstream specification, 6.2 and Annex B: a superframe shows its last
        data = memoryview(packet)
        superframe = data[-1] & 0xE0 == 0xC0
        profile_3 = data[0] & 0x30 == 0x30
        bits = data[0] << profile_3
        return not superframe and not bits & 0x08 and not bits & 0x02
    return False


def _is_orderly(pts, key, order):
    """Whether the times tell the order of the frames, and keyframes part it into groups."""
    if len(order) == 0 or not key[0]:
        return False
    shown = pts[order]
    keys = np.flatnonzero(key)
    latest_before = np.maximum.accumulate(pts)[keys[1:] - 1]
    return bool(
        pts.min() != NO_PTS
        and np.all(np.diff(shown) > 0)
        and shown[0] == pts[0]
        and np.all(latest_before < pts[keys[1:]])
    )


def _read_parts(path, listing, indices, n_parts, resize, size, stop):
    """The frames at indices out of a video's groups, uint8 [T, H, W, 3], and its upright size.

    Parts of the indices are decoded side by side: parts that take about as many packets, and cut
    where a group begins, as a group would otherwise be decoded twice.
    """
    ends = listing.order[indices]
    starts = _starts(listing, ends)
    first = np.unique(starts, return_index=True)[1]  # [groups], where each begins in indices
    n_packets = np.maximum.reduceat(ends, first) - starts[first] + 1
    middle = np.cumsum(n_packets) - n_packets / 2
    cuts = first[1:][np.diff(middle * n_parts // n_packets.sum()) > 0]

    def read(part):
        numbered = _decode_groups(path, listing, np.unique(part), stop)
        return _collect(path, numbered, part, resize, size)

    if len(cuts) == 0:
        return read(indices)
    reading = [_started(read, part) for part in np.split(indices, cuts)]
    parts, sizes = zip(*[part.result() for part in reading])
    if len({part.shape[1:] for part in parts}) > 1:
        raise _Untrusted  # the size changes on the way: the first frame's is to hold for all
    return np.concatenate(parts), sizes[0]


def _starts(listing, ends):
    """Where to decode from for the frames of packets `ends`: the last keyframe shown by then."""
    keys = np.flatnonzero(listing.key)
    return keys[np.searchsorted(listing.pts[keys], listing.pts[ends], side="right") - 1]


def _decode_groups(path, listing, wanted, stop):
    """Yields (i, frame) for each wanted frame number i (ascending, without repeats).

    Decodes from the last keyframe shown no later than each wanted frame up to the frame's own
    packet; frames shown before that keyframe (an open group's) would need the group before it.
    Raises _Untrusted if the frames that come are not those that were listed.
    """
    pts, order = listing.pts, listing.order
    number = {int(pts[p]): i for i, p in enumerate(order)}
    rank = np.full(len(pts), -1)  # [P], the number of the packet's frame
    rank[order] = np.arange(len(order))
    ends = order[wanted]
    starts = _starts(listing, ends)
    needed = np.zeros(len(pts) + 1, bool)
    for start, end in zip(starts, ends, strict=True):
        needed[start : end + 1] = True
    run_ends = iter(np.flatnonzero(needed[:-1] & ~needed[1:]).tolist())
    wanted, missing, end = set(ends.tolist()), set(wanted.tolist()), -1

    with _open(path) as (container, stream):
        context = stream.codec_context
        try:
            for p, packet in enumerate(_packets(container, stream, stop)):
                if p < len(pts) and (packet is None or packet.pts != pts[p]):
                    raise _Untrusted  # the file is not what it was
                if not needed[min(p, len(pts))]:
                    continue
                if p > end:  # a run of packets begins
                    end, first, due = next(run_ends), rank[p], set()
                    last = first - 1
                if p not in wanted and _is_unused(context, packet):
                    continue
                due.add(rank[p])
                frames = _decode(context, packet)
                if p == end:  # all at once: what it leans on may be shown after it, and be bad
                    frames = [*frames, *_decode(context, None)]
                for frame in frames:
                    i = number.get(frame.pts, -1)
                    if 0 <= i < first:
                        continue
                    if i not in due or i <= last or frame.interlaced_frame:
                        raise _Untrusted  # two fields may be two packets, but are one frame
                    if last < first and not (i == first and frame.key_frame):
                        raise _Untrusted  # the container called a keyframe what is none
                    last = i
                    due.remove(i)
                    if i in missing:
                        missing.remove(i)
                        yield i, frame
                if p == end:
                    if max(due, default=-1) >= first:
                        raise _Untrusted
                    context.flush_buffers()
                    if not missing:
                        return
        except _Damaged:
            raise _Untrusted from None
    raise _Untrusted


def _is_unused(context, packet):
    """Whether an H.264 packet says that no other frame refers to its own (nal_ref_idc 0)."""
    head = context.extradata
    if context.name != "h264" or not head or head[0] != 1 or len(head) < 5:
        return False
    data, at, unused = memoryview(packet), 0, False
    prefix = (head[4] & 3) + 1  # bytes that hold the length of each unit
    while at + prefix < len(data):
        unit = data[at + prefix]
        if 1 <= unit & 31 <= 5:  # a piece of the picture
            if unit & 0x60:
                return False
            unused = True
        at += prefix + int.from_bytes(data[at : at + prefix], "big")
    return unused


def _decode_all(path, listing, stop):
    """Yields (i, frame) for every frame from the first keyframe on; raises _Damaged at damage."""
    first = int(np.argmax(listing.key)) if len(listing.key) else 0
    with _open(path) as (container, stream):
        packets = itertools.islice(_packets(container, stream, stop), first, None)
        frames = (f for packet in packets for f in _decode(stream.codec_context, packet))
        yield from enumerate(frames)


def _count_frames(path, listing, stop):
    """Decodes everything. -> how many frames there are, None or what damage ends them"""
    times = []
    try:
        for _, frame in _decode_all(path, listing, stop):
            times.append(frame.pts)
    except _Damaged as error:
        # Of the frames decoded from there on, some are shown before the bad one: spoilt or missing.
        bad = np.flatnonzero(listing.pts == error.pts)
        if len(bad):
            lost = listing.pts[bad[0] :]
            end = lost[lost != NO_PTS].min()
            times = list(itertools.takewhile(lambda pts: pts is None or pts < end, times))
        return len(times), str(error)
    return len(times), None


def _collect(path, numbered, indices, resize, size):
    """Converts the frames at indices out of (i, frame) pairs.

    -> uint8 [T, H, W, 3], (width, height) of the upright video
    """
    reformatter, missing, frames = VideoReformatter(), set(indices.tolist()), None
    for i, frame in numbered:
        if i not in missing:
            continue
        try:
            pixels, upright_size = _pixels(frame, resize, size, reformatter)
            if frames is None:
                frames, video_size = np.empty((len(indices), *pixels.shape), np.uint8), upright_size
            if pixels.shape != frames.shape[1:]:  # "half", and the size changes on the way
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                pixels = _scaled(frame, *video_size, reformatter)
        except av.FFmpegError as error:
            raise VideoError(
                f"{path}: its {frame.format.name} pixels cannot be converted to RGB "
                f"({error.strerror}); convert it to H.264"
            ) from None
        frames[indices == i] = pixels
        missing.remove(i)
        if not missing:
            return frames, video_size
    raise _changed(path)


def _changed(path):
    return VideoError(f"{path}: changed while it was being read; run again")


def _pixels(frame, resize, size, reformatter):
    """One frame as uint8 [H, W, 3], scaled and upright, and the upright (width, height) before."""
    width, height = frame.width, frame.height
    if resize == "crop":
        scale = size / min(width, height)
        pixels = _scaled(frame, round(width * scale), round(height * scale), reformatter)
    elif resize == "stretch":
        pixels = _scaled(frame, size, size, reformatter)
    else:
        pixels = _scaled(frame, width, height, reformatter)

    # The display matrix [a b; c d] takes (x, y) to (ax + cy, bx + dy): mirrorings and quarter turns
    # (asked of a container of our own: frame.side_data would be part of the frame, a cycle that
    # holds its memory until Python happens to look for cycles).
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")
    if matrix is not None:
        (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
        if abs(b) > abs(a):
            pixels, (width, height) = pixels.swapaxes(0, 1), (height, width)
            a, d = c, b
        pixels = pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    if resize == "crop":
        top, left = ((n - size) // 2 for n in pixels.shape[:2])
        pixels = pixels[top : top + size, left : left + size]
    if callable(resize):
        pixels = resize(pixels)
    return pixels, (width, height)


def _scaled(frame, width, height, reformatter):
    """uint8 [height, width, 3]"""
    rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation="BICUBIC", threads=1)
    return rgb.to_ndarray()
