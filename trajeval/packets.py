"""The packets of a video file: which of them hold which frames, and those frames decoded.

`list_packets` reads a file without decoding it. Where its listing is exact, `decode_wanted` decodes
only what some frames need; elsewhere `count_frames` and `decode_all` decode everything.
"""

import contextlib
import itertools
from typing import NamedTuple

import av
import numpy as np

from trajeval.containers import (
    Damaged,
    VideoError,
    check_file,
    ends_early,
    lacks_frames,
    open_video,
    read_packets,
)

# Each packet has its frame's presentation time (AVI: only without reordered frames) ...
TIMED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
# ... and holds one frame, and keyframes need nothing before them.
FRAME_PER_PACKET = {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg"}
MPEG4_EMPTY_FRAME = 16  # bytes; a smaller packet may repeat the last frame, and gives none
NO_PTS = np.iinfo(np.int64).min


class Untrusted(Exception):
    """The packets did not give the frames that the listing promised."""


class Listing(NamedTuple):
    """The packets of a video, in file order, which is decoding order.

    pts: int64 [P], when each packet's frame is shown. key: bool [P], whether decoding can start
    there. order: int64 [length], the packet that holds each frame, in display order. exact:
    whether `order` is reliable. claimed: frames that the container claims, 0 if unknown. fps:
    average frame rate, None if unknown. damage: None, or what is wrong with the file.
    """

    pts: np.ndarray
    key: np.ndarray
    order: np.ndarray
    exact: bool
    claimed: int
    fps: float | None
    damage: str | None


def list_packets(path, stopped):
    """Reads the packets of a file without decoding them, as a Listing.

    stopped (here and below): a function; Stopped is raised once it returns True. Raises VideoError
    for a file that is not a video.
    """
    head = check_file(path)
    rows, damage = [], None  # rows: pts, duration, key, shown, discarded
    with open_video(path) as (container, stream):
        codec = stream.codec_context.name
        plain = codec in FRAME_PER_PACKET and container.format.name in TIMED_CONTAINERS
        plain &= container.format.name != "avi" or not stream.codec_context.has_b_frames
        try:
            for packet in read_packets(container, stream, stopped):
                if packet is None:
                    continue
                if packet.has_sidedata("encryption_info"):
                    raise VideoError(f"{path}: is encrypted; use a copy without encryption")
                shown = codec != "vp8" or bool(memoryview(packet)[0] & 0x10)  # RFC 6386, 9.1
                pts, duration = NO_PTS if packet.pts is None else packet.pts, packet.duration or 0
                rows.append((pts, duration, packet.is_keyframe, shown, packet.is_discard))
                plain &= codec != "mpeg4" or packet.size > MPEG4_EMPTY_FRAME
            if ends_early(head, path, container, stream):
                damage = "it ends early"
        except Damaged as error:
            damage = str(error)
        table = np.array(rows, np.int64).reshape(-1, 5)
        pts, key, shown, discarded = table[:, 0], *table[:, 2:].T.astype(bool)
        is_mp4 = container.format.name.startswith("mov")
        if is_mp4 and not damage and lacks_frames(path, table[~discarded], stream):
            damage = "its index is incomplete"
        claimed = stream.frames
        fps = float(stream.average_rate) if stream.average_rate else None
    order = np.flatnonzero(shown)
    order = order[np.argsort(pts[order], kind="stable")]
    exact = plain and not discarded.any() and _is_orderly(pts, key, order)
    return Listing(pts, key, order, exact, claimed, fps, damage)


def _is_orderly(pts, key, order):
    """Whether the times give the order of the frames, and keyframes divide it into groups."""
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


def group_starts(listing, ends):
    """Where decoding starts for the frames of packets `ends`: the last keyframe shown by then."""
    keys = np.flatnonzero(listing.key)
    return keys[np.searchsorted(listing.pts[keys], listing.pts[ends], side="right") - 1]


def decode_wanted(path, listing, wanted, stopped):
    """Yields (i, frame) for each wanted frame number i (ascending, without repeats).

    Decodes from the last keyframe shown no later than each wanted frame up to the frame's own
    packet. Raises Untrusted if the frames that come are not those listed.
    """
    ends = listing.order[wanted]
    needed = np.zeros(len(listing.pts) + 1, bool)
    for start, end in zip(group_starts(listing, ends), ends):
        needed[start : end + 1] = True
    edges = np.flatnonzero(np.diff(needed, prepend=False)).reshape(-1, 2)
    rank = np.full(len(listing.pts), -1)  # [P], the number of the packet's frame
    rank[listing.order] = np.arange(len(listing.order))
    numbers = dict(zip(listing.pts[listing.order].tolist(), range(len(listing.order))))
    with open_video(path) as (container, stream):
        packets = _listed_packets(container, stream, listing, stopped)
        try:
            for run in itertools.starmap(range, edges.tolist()):
                wanted_here = set(wanted.tolist()).intersection(rank[run].tolist())
                yield from _decode_run(
                    stream.codec_context, packets, run, wanted_here, rank, numbers
                )
        except Damaged:
            raise Untrusted from None


def _listed_packets(container, stream, listing, stopped):
    """Yields (p, packet) for every packet. Raises Untrusted if they are not those listed."""
    for p, packet in enumerate(read_packets(container, stream, stopped)):
        if p == len(listing.pts):
            return
        if packet is None or packet.pts != listing.pts[p]:
            raise Untrusted
        yield p, packet


def _decode_run(context, packets, run, wanted, rank, numbers):
    """Yields (i, frame) for the wanted frame numbers of one run.

    run: the range of packets to decode, from a keyframe to a wanted frame; frames shown before the
    keyframe (an open group's) need the group before it, and are dropped. rank: packet -> frame
    number. numbers: presentation time -> frame number.
    """
    first, last, due = rank[run.start], rank[run.start] - 1, set()
    for p, packet in packets:
        if p < run.start:
            continue
        if rank[p] not in wanted and _is_unreferenced(context, packet):
            continue
        due.add(rank[p])
        frames = decode(context, packet)
        if p == run[-1]:  # all before any is used: one shown later may be damaged
            frames = [*frames, *decode(context, None)]
        for frame in frames:
            i = numbers.get(frame.pts, -1)
            if 0 <= i < first:
                continue
            if i not in due or i <= last or frame.interlaced_frame:
                raise Untrusted  # two fields may be two packets, but are one frame
            if last < first and not (i == first and frame.key_frame):
                raise Untrusted  # the container's keyframe is not one
            last = i
            due.remove(i)
            if i in wanted:
                yield i, frame
        if p == run[-1]:
            break
    if max(due, default=-1) >= first:
        raise Untrusted
    context.flush_buffers()


def _is_unreferenced(context, packet):
    """Whether an H.264 packet says that no other frame refers to its own (nal_ref_idc is 0). The
    decoder's skip_frame would also pass over damaged packets, without an error."""
    head = context.extradata
    if context.name != "h264" or not head or head[0] != 1 or len(head) < 5:
        return False
    data, at, unreferenced = memoryview(packet), 0, False
    prefix = (head[4] & 3) + 1  # bytes that hold the length of each unit
    while at + prefix < len(data):
        unit = data[at + prefix]
        if 1 <= unit & 31 <= 5:  # a slice
            if unit & 0x60:
                return False
            unreferenced = True
        at += prefix + int.from_bytes(data[at : at + prefix], "big")
    return unreferenced


def decode_all(path, listing, stopped):
    """Yields (i, frame) for every frame from the first keyframe on; raises Damaged at damage."""
    first = int(np.argmax(listing.key)) if len(listing.key) else 0
    with open_video(path) as (container, stream):
        packets = itertools.islice(read_packets(container, stream, stopped), first, None)
        frames = (f for packet in packets for f in decode(stream.codec_context, packet))
        yield from enumerate(frames)


def count_frames(path, listing, stopped):
    """Decodes everything. -> how many frames there are, None or the damage that ends them"""
    times = []
    try:
        for _, frame in decode_all(path, listing, stopped):
            times.append(frame.pts)
    except Damaged as error:
        # Frames decoded later may be shown before the bad one, and be spoilt or missing.
        bad = np.flatnonzero(listing.pts == error.pts)
        if len(bad):
            lost = listing.pts[bad[0] :]
            end = lost[lost != NO_PTS].min()
            times = list(itertools.takewhile(lambda pts: pts is None or pts < end, times))
        return len(times), str(error)
    return len(times), None


def decode(context, packet):
    """Yields the frames that the decoder has ready after this packet; None flushes it."""
    damage, frames = None, []
    try:
        frames = context.decode(packet)
    except av.FFmpegError as error:
        damage = Damaged(error.strerror, packet and packet.pts)
        with contextlib.suppress(av.FFmpegError):
            frames = context.decode(None)  # what it held back before the damage
    for frame in frames:
        if frame.is_corrupt:
            raise Damaged("a frame is incomplete", frame.pts)
        yield frame
    if damage:
        raise damage
