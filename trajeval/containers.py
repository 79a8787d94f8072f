"""Video files before their frames: which are opened, which are refused, where they end.

FFmpeg opens more than files (network streams, playlists, patterns), and says little of a file that
ends early; both are settled here.
"""

import contextlib

import av

from trajeval.files import open_regular
from trajeval.terminal import UserError

TEXT_ART = {"ansi", "bintext", "idf", "xbin"}  # FFmpeg renders .txt files as pictures
PLAYLISTS = (b"#EXTM3U", b"ffconcat version")
# Playlists open other files, or wait for ever for more of them.
FORMATS = av.formats_available - {"concat", "dash", "hls", "imf", "rtsp", "sdp"}
ATTACHED_PICTURE = av.stream.Disposition.attached_pic  # an audio file's cover


CHANGED = "changed while it was being read; run again"


class VideoError(UserError):
    """A video that cannot be used; the message names the file."""


class Unusable(Exception):
    """Why a video cannot be used, without its name."""


class Damaged(Exception):
    """The rest of the file is unreadable; says why. pts: of the first bad frame, if known."""

    def __init__(self, reason, pts=None):
        super().__init__(reason)
        self.pts = pts


class Stopped(Exception):
    """Nobody waits for this video any more."""


def check_file(path):
    """The first 1024 bytes of a file. Raises Unusable for what should not reach FFmpeg."""
    try:
        with open_regular(path) as file:
            head = file.read(1024)
    except IsADirectoryError:
        raise Unusable("is a folder; name a video file in it") from None
    except PermissionError as error:
        raise Unusable(f"{error.strerror}; check its permissions") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise Unusable(f"{getattr(error, 'strerror', error)}; check the path") from None
    if not head:
        raise Unusable("is empty (0 bytes); record or download it again")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(PLAYLISTS) or (text.startswith(b"<") and b"<MPD" in text):
        raise Unusable("is a playlist, not a video; list the files it names")
    return head


@contextlib.contextmanager
def open_video(path, **options):
    """Opens a file; yields its container and its video stream. Raises Unusable."""
    options |= {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(FORMATS),
        "pattern_type": "none",  # "%03d.png" is one file
    }
    try:
        # "file:" because a name with a colon would be taken for a URL.
        container = av.open("file:" + path, options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise Unusable(
            f"is not a video that FFmpeg can read ({error.strerror}); check the file"
        ) from None
    with container:
        streams = [s for s in container.streams.video if not s.disposition & ATTACHED_PICTURE]
        if not streams:
            raise Unusable("has no video stream; check that it is the right file")
        stream = streams[0]
        if stream.codec_context is None:
            raise Unusable("FFmpeg has no decoder for it; convert it to H.264")
        if stream.codec_context.name in TEXT_ART:
            raise Unusable("is a text file, not a video; check the path")
        stream.codec_context.thread_count = 1  # with more, damaged frames lose their flags
        yield container, stream


def read_packets(container, stream, stopped):
    """Yields the stream's packets, then None to flush the decoder; then raises Damaged unless the
    file really ended there."""
    damage = None
    try:
        for packet in container.demux(stream):
            if stopped():
                raise Stopped
            if packet.is_corrupt:
                damage = "a part of it is missing"
                break
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        damage = error.strerror
    yield None
    if damage:
        raise Damaged(damage)


def ends_early(head, path, container, stream):
    """Whether a file is shorter than its header or index says; FFmpeg ignores that in AVI and
    Matroska, and in MP4 if the cut is between two packets. GIF and JPEG have end marks."""
    if container.format.name.startswith("mov"):
        return any(entry.pos + entry.size > container.size for entry in stream.index_entries)
    if container.format.name == "gif":
        with open(path, "rb") as file:
            file.seek(-1, 2)
            return file.read() != b"\x3b"
    if head.startswith(b"\xff\xd8") and container.format.name in ("image2", "jpeg_pipe"):
        return not _has_jpeg_end(path)
    if head.startswith(b"RIFF"):
        stated = int.from_bytes(head[4:8], "little")
        return 8 + stated > container.size and stated != 0xFFFFFFFF
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        try:
            start, length, _ = _ebml_number(head, 4)
            segment, length, unknown = _ebml_number(head, start + length + 4)
        except IndexError:  # a header longer than what was read
            return False
        return not unknown and segment + length > container.size
    return False


def _has_jpeg_end(path):
    """Whether a JPEG has its end mark. A thumbnail in its head has one of its own; within pixels,
    the mark cannot occur (ITU-T T.81, B.1.1.2)."""
    with open(path, "rb") as file:
        data = file.read()
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":  # to the pixels
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) >= 0


def _ebml_number(data, at):
    """-> where the number at `at` ends, its value, whether that means "unknown" (all ones). It has
    one byte more than the first byte has leading zeros (RFC 8794, 4)."""
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") - (1 << 7 * width)
    return at + width, value, value == (1 << 7 * width) - 1


def lacks_frames(path, rows, stream):
    """Whether an MP4 has fewer frames than it claims, and an edit list does not explain it.
    rows: int64 [P, 5], as in list_packets, without discarded packets."""
    claimed, duration, rate = stream.frames, stream.duration, stream.average_rate
    if not 0 < len(rows) < claimed:
        return False
    with open_video(path, ignore_editlist="1") as (_, uncut):
        full, listed = uncut.duration, len(uncut.index_entries)
    if not (duration and full and rate) or listed < claimed:
        return True
    frame = 1 / (rate * stream.time_base)
    if full < 0.95 * claimed * frame:  # the times of the frames do not add up
        return True
    span = (rows[:, 0] + rows[:, 1]).max() - rows[:, 0].min()
    lost = duration - span > 1.5 * span / len(rows)  # an edit may begin or end within a frame
    return bool(lost or (duration > full - frame / 2 and len(rows) < claimed - 1))
