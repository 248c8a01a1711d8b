"""Repair of JPEG, PNG and WebP files that are damaged around their pixels.

The end of a JPEG may be missing, or a note that no pixel depends on may be broken. The repaired versions have the same
pixels and less around them. Where pixels are missing, too, there is no such version, or the decoder fails on each.
"""

import random
import re
import zlib
from collections.abc import Callable, Hashable, Iterator

PixelsOf = Callable[[bytes], Hashable | None]
"""A function that decodes a whole file and gives a value that identifies its pixels; None if it cannot be decoded."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_MOST_BROKEN = 64  # chunks that are tried
_PNG_CHUNKS = re.compile(rb"IHDR|PLTE|tRNS|IDAT|iCCP|eXIf")

_WEBP_KEPT = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF"})

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PIXELS = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD}  # Huffman and other tables, restart interval
_JPEG_NOTES = {0xE0: 14, 0xE1: 14, 0xE2: 14, 0xEE: 12}  # JFIF, EXIF, profile and Adobe's: bytes that each has at least
_ADOBE = 0xEE  # tells how the channels are to be understood
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")

# Its first bit is another than that of zeros, which decoders go on with where data end; those that wait for a marker
# between pixels find each of them.
_RANDOM = random.Random(0).randbytes(256).replace(b"\xff", b"\xfe")
_NOISE = b"\xa7" + _RANDOM + b"".join(bytes([0xFF, 0xD0 + number]) + _RANDOM for number in range(8))


def is_mendable(head: bytes) -> bool:
    """Whether a file that starts with `head` is of a kind that can be repaired."""
    return head.startswith((_PNG_START, _JPEG_START)) or _is_webp(head)


def mended(content: bytes, pixels_of: PixelsOf) -> Iterator[bytes]:
    """Repaired versions of a broken file, the one that keeps most first.

    Args:
        content: The whole file.
        pixels_of: Called to find out whether the pixels of a JPEG without an end are complete.

    Raises:
        LookupError, ValueError: It is more broken than it seemed.
    """
    if content.startswith(_PNG_START):
        yield from _mended_png(content)
    elif _is_webp(content):
        yield _mended_webp(content)
    elif content.startswith(_JPEG_START):
        yield from _mended_jpeg(content, pixels_of)


def _mended_png(content: bytes) -> Iterator[bytes]:
    chunks = list(_png_chunks(content))
    for pixels_alone in (False, True):
        kept = [_png_chunk(kind, data) for kind, data in chunks if kind in _PNG_PIXELS or not pixels_alone]
        yield b"".join([_PNG_START, *kept, _png_chunk(b"IEND", b"")])


def _png_chunks(whole: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The chunks that matter and whose checksum is right. Pixels are always taken: they have one of their own."""
    at, broken, content = len(_PNG_START), 0, memoryview(whole)
    while broken < _MOST_BROKEN and (match := _PNG_CHUNKS.search(content, at)):
        start, kind = match.end(), match[0]
        length = int.from_bytes(content[start - 8 : start - 4])
        data, checksum = content[start : start + length], content[start + length : start + length + 4]
        is_sound = len(checksum) == 4 and zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(checksum)
        if is_sound or kind == b"IDAT":
            yield kind, data
        at = start + length + 4 if is_sound or kind == b"IDAT" else start
        broken += not is_sound


def _png_chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    return b"".join([len(data).to_bytes(4), kind, data, zlib.crc32(data, zlib.crc32(kind)).to_bytes(4)])


def _is_webp(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def _mended_webp(content: bytes) -> bytes:
    kept, at = [], 12
    while at + 8 <= len(content):
        end = at + 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] in _WEBP_KEPT and end <= len(content):
            kept.append(content[at:end] + b"\0" * (end % 2))
        at = end + end % 2
    chunks = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(chunks).to_bytes(4, "little") + chunks


def _mended_jpeg(content: bytes, pixels_of: PixelsOf) -> Iterator[bytes]:
    segments, scans = _jpeg_segments(content)
    has_end = _JPEG_END in scans
    for pixels_alone in (False, True) if scans else ():
        kept = [
            segment
            for kind, segment in segments
            if kind in _JPEG_PIXELS
            or (len(segment) >= 4 + _JPEG_NOTES.get(kind, 1 << 16) and (kind == _ADOBE or not pixels_alone))
        ]
        version = b"".join([_JPEG_START, *kept, scans if has_end else scans.rstrip(b"\xff")])
        if has_end or _is_whole(version, pixels_of):
            yield version if has_end else version + _JPEG_END


def _is_whole(jpeg: bytes, pixels_of: PixelsOf) -> bool:
    """Whether a JPEG lacks nothing but its end: then its pixels are the same whatever follows its data."""
    if not _has_all_scans(jpeg):
        return False
    pixels = pixels_of(jpeg + _JPEG_END)
    return pixels is not None and pixels == pixels_of(jpeg + _NOISE + _JPEG_END)


def _jpeg_segments(content: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Kind and bytes of each segment before the pixels, and everything from the pixels on (empty if none are found)."""
    segments: list[tuple[int, bytes]] = []
    at = len(_JPEG_START)
    while match := _MARKER.search(content, at):
        kind, start = match[1][0], match.end()
        if kind == _SCAN:
            return segments, content[start - 2 :]
        if kind == _JPEG_START[1]:  # of a preview, in a segment that is not as long as it says
            break
        end = start + int.from_bytes(content[start : start + 2])
        is_whole = end >= start + 2 and content[end : end + 1] == b"\xff"
        if is_whole:
            segments.append((kind, content[start - 2 : end]))
        at = end if is_whole else start
    return [], b""


def _has_all_scans(jpeg: bytes) -> bool:
    """Whether the scans of a JPEG give every coefficient of every channel to its last bit (ISO/IEC 10918-1, B.2.3)."""
    unknown: dict[int, set[int]] = {}
    at = len(_JPEG_START)
    while match := _MARKER.search(jpeg, at):
        kind, start = match[1][0], match.end()
        if 0xD0 <= kind < 0xD8:  # between pixels
            at = start
            continue
        if kind in _FRAMES:
            unknown = {jpeg[at]: set(range(64)) for at in range(start + 8, start + 8 + 3 * jpeg[start + 7], 3)}
        if kind == _SCAN:
            names, (first, last, bits) = jpeg[start + 3 : start + 3 + 2 * jpeg[start + 2] : 2], _spectrum(jpeg, start)
            for name in names if bits & 15 == 0 else b"":
                unknown[name] -= set(range(first, last + 1))
        at = start + int.from_bytes(jpeg[start : start + 2])
    return bool(unknown) and not any(unknown.values())


def _spectrum(jpeg: bytes, start: int) -> bytes:
    """Three bytes of a scan's header: its first coefficient, its last, and which of their bits it holds."""
    at = start + 3 + 2 * jpeg[start + 2]
    return jpeg[at : at + 3]
