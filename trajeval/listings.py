"""The packets of a video file, without decoding them: which of them hold which frames."""

import os
import threading
from collections import OrderedDict
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from trajeval.containers import (
    Damaged,
    Unusable,
    check_file,
    ends_early,
    lacks_frames,
    open_video,
    read_packets,
)
from trajeval.files import stamp

# Each packet has its frame's presentation time (AVI: only without reordered frames) ...
TIMED_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
# ... and holds one frame, and keyframes need nothing before them.
FRAME_PER_PACKET = {"h264", "hevc", "vp9", "av1", "libdav1d", "mpeg4", "mjpeg"}
MPEG4_EMPTY_FRAME = 16  # bytes; a smaller packet may repeat the last frame, and gives none
NO_PTS = np.iinfo(np.int64).min


class Listing(NamedTuple):
    """The packets of a video, in file order, which is decoding order.

    pts: int64 [P], when each packet's frame is shown. key: bool [P], whether decoding can start
    there. order: int64 [length], the packet that holds each frame, in display order. exact:
    whether `order` is reliable. claimed: frames that the container claims, 0 if unknown. fps:
    average frame rate, None if unknown. time_base: seconds in a unit of pts, a Fraction. damage:
    None, or what is wrong with the file.
    """

    pts: np.ndarray
    key: np.ndarray
    order: np.ndarray
    exact: bool
    claimed: int
    fps: float | None
    time_base: Fraction
    damage: str | None


def list_packets(path, stopped):
    """Reads the packets of a file without decoding them, as a Listing.

    stopped (here and below): a function; Stopped is raised once it returns True. Raises Unusable
    for a file that is not a video.
    """
    head = check_file(path)
    rows, damage = [], None  # rows: pts, duration, key, discarded
    with open_video(path) as (container, stream):
        codec = stream.codec_context.name
        plain = codec in FRAME_PER_PACKET and container.format.name in TIMED_CONTAINERS
        plain &= container.format.name != "avi" or not stream.codec_context.has_b_frames
        try:
            for packet in read_packets(container, stream, stopped):
                if packet is None:
                    continue
                if packet.has_sidedata("encryption_info"):
                    raise Unusable("is encrypted; use a copy without encryption")
                pts, duration = NO_PTS if packet.pts is None else packet.pts, packet.duration or 0
                rows.append((pts, duration, packet.is_keyframe, packet.is_discard))
                plain &= codec != "mpeg4" or packet.size > MPEG4_EMPTY_FRAME
            if ends_early(head, path, container, stream):
                damage = "it ends early"
        except Damaged as error:
            damage = str(error)
        table = np.array(rows, np.int64).reshape(-1, 4)
        pts, key, discarded = table[:, 0], *table[:, 2:].T.astype(bool)
        is_mp4 = container.format.name.startswith("mov")
        if is_mp4 and not damage and lacks_frames(path, table[~discarded], stream):
            damage = "its index is incomplete"
        claimed = stream.frames
        fps = float(stream.average_rate) if stream.average_rate else None
        time_base = stream.time_base
    order = np.argsort(pts, kind="stable")
    exact = plain and not discarded.any() and is_orderly(pts, key, order)
    return Listing(pts, key, order, exact, claimed, fps, time_base, damage)


def is_orderly(pts, key, order):
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


class Listings:
    """The listings of the files last asked for, so that the parts of a file share one; all together
    they take at most `max_bytes`, or are one. For several threads at once."""

    def __init__(self, max_bytes=64 << 20):
        self.max_bytes = max_bytes
        self._found: OrderedDict[tuple, Listing] = OrderedDict()
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, path, stopped):
        """The file's listing, made if need be by the first thread that asks, as list_packets."""
        check_file(path)
        key = os.path.abspath(path), *stamp(path).values()
        with self._lock:
            lock = self._locks.setdefault(key[0], threading.Lock())
        with lock:
            with self._lock:
                if key in self._found:
                    self._found.move_to_end(key)
                    return self._found[key]
            listing = list_packets(path, stopped)
            with self._lock:
                self._found[key] = listing
                while len(self._found) > 1 and self._bytes() > self.max_bytes:
                    self._found.popitem(last=False)
            return listing

    def _bytes(self):
        return sum(
            array.nbytes for found in self._found.values() for array in (*found[:2], found.order)
        )
