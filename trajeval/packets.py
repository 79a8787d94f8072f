"""The packets of a video file -> its frames.

Where the listing of a file is exact, `decode_wanted` decodes only what some frames need; elsewhere
`count_frames` and `decode_all` decode everything.
"""

import contextlib
import itertools

import av
import numpy as np

from trajeval.containers import Damaged, open_video, read_packets
from trajeval.listings import NO_PTS


class Untrusted(Exception):
    """The packets did not give the frames that the listing promised."""


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
    with _open_at(path, listing, edges[0, 0], stopped) as (stream, packets):
        try:
            for run in itertools.starmap(range, edges.tolist()):
                wanted_here = set(wanted.tolist()).intersection(rank[run].tolist())
                yield from _decode_run(
                    stream.codec_context, packets, run, wanted_here, rank, numbers
                )
        except Damaged:
            raise Untrusted from None


@contextlib.contextmanager
def _open_at(path, listing, begin, stopped):
    """Opens a video. Yields its stream, and (p, packet) for every packet from a keyframe on that is
    no later than packet `begin`: the one before it where that can be sought, else the first."""
    with contextlib.ExitStack() as stack:
        container, stream = stack.enter_context(open_video(path))
        packets, first = read_packets(container, stream, stopped), 0
        if begin > 0:
            first = None
            with contextlib.suppress(av.FFmpegError, Damaged):
                container.seek(int(listing.pts[begin]), stream=stream)
                if head := next(packets):
                    keys = np.flatnonzero(listing.key[: begin + 1])
                    first = next(iter(keys[listing.pts[keys] == head.pts]), None)
                    packets = itertools.chain([head], packets)
        if first is None:
            container, stream = stack.enter_context(open_video(path))
            packets, first = read_packets(container, stream, stopped), 0
        yield stream, _listed_packets(packets, listing, first)


def _listed_packets(packets, listing, first):
    """Yields (p, packet) from number `first` on. Raises Untrusted if they are not those listed."""
    for p, packet in enumerate(packets, first):
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
    """Decodes everything. -> when each frame is shown, as a list (None: unknown), in display order;
    None or the damage that ends them"""
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
        return times, str(error)
    return times, None


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
