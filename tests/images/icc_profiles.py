"""ICC profiles made by hand (ICC.1:2010, version 2), so that no test depends on anyone's files."""

import struct

from PIL import ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _profile(color_space: bytes, connection_space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of an output or display device with these tags."""
    head = b"XYZ " + bytes(4)
    text = b"text" + bytes(4) + b"drawn by a test\0"
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78)
    contents = {b"desc": name, b"cprt": text, b"wtpt": head + _fixed(0.9642, 1.0, 0.8249), **tags}
    table, body, at = struct.pack(">I", len(contents)), b"", 132 + 12 * len(contents)
    for signature, content in contents.items():
        padded = content + bytes(-len(content) % 4)
        table += signature + struct.pack(">II", at + len(body), len(content))
        body += padded
    device = b"prtr" if color_space == b"CMYK" else b"mntr"
    header = struct.pack(">I4s4s4s4s4s", 0, bytes(4), b"\x02\x40\0\0", device, color_space, connection_space)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(0.9642, 1.0, 0.8249)
    header += bytes(128 - len(header))
    whole = header + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*values)


ADOBE_RGB = _profile(  # primaries adapted to D50
    b"RGB ",
    b"XYZ ",
    {
        b"rXYZ": _xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": _xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": _xyz(0.14919, 0.06322, 0.74457),
        **{curve: _gamma(2.2) for curve in (b"rTRC", b"gTRC", b"bTRC")},
    },
)
GRAY_GAMMA_1 = _profile(b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.0)})


def _ink_table() -> bytes:
    """What no press prints: cyan ink makes the paper red, the others nothing; black darkens. 2 grid points per ink."""
    header = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    straight = bytes(range(256))
    grid = b""
    for node in range(16):
        cyan, black = node >> 3 & 1, node & 1
        light = 0 if black else 136 if cyan else 255  # L* 0..100 as 0..255
        grid += bytes([light, 208 if cyan and not black else 128, 195 if cyan and not black else 128])
    return header + straight * 4 + grid + straight * 3


INKS = _profile(b"CMYK", b"Lab ", {b"A2B0": _ink_table()})
