"""The image formats that are read, and all that differs between them: a new one is a row here.

Receives names and first bytes of files. Brings no decoder with it, so that looking for images costs no import.
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec

RAW = "RAW"


@dataclass(frozen=True)
class ImageFormat:
    """One format, or the part of it that people call by a name of its own.

    Attributes:
        name: PIL's name of it; `RAW` for what cameras store before they make an image of it, which `raw.py` reads.
        title: What people call it.
        suffixes: How its files are named, without the dot.
        signatures: Offset and bytes by which a file of it is known. What PIL alone tells from others has none.
        also: Other names that PIL gives to files with these suffixes.
        extra: The optional part of this package that brings its decoder; empty where PIL does.
        package: The Python package in that part.
        register: The function of that package that makes its decoder known to PIL.
        seconds: Of decoders that take a whole file in one call, which nothing can interrupt: seconds per megapixel and
            per megabyte, of noise and of flat colour, on one core of 2020.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    signatures: tuple[tuple[int, bytes], ...] = ()
    also: tuple[str, ...] = ()
    extra: str = ""
    package: str = ""
    register: str = ""
    seconds: tuple[float, float] | None = None


_HEIF = ImageFormat(
    "HEIF",
    "HEIF",
    ("heif", "heifs", "hif"),
    tuple((4, b"ftyp" + brand) for brand in (b"hevc", b"hevx", b"mif1", b"msf1")),
    extra="heif",
    package="pillow_heif",
    register="register_heif_opener",
    seconds=(0.015, 0.12),
)

# Formats whose decoders work in this process: PIL would hand EPS to Ghostscript.
FORMATS = (
    ImageFormat(  # before TIFF, as which some of them begin
        RAW,
        RAW,
        (
            *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "gpr", "iiq", "kdc", "mef", "mos", "mrw"),
            *("nef", "nrw", "orf", "pef", "raf", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
        ),
        (  # of those that are no TIFF to any other reader
            *((8, b"CR\x02\0"), (4, b"ftypcrx "), (6, b"HEAPCCDR")),  # Canon
            (0, b"FUJIFILMCCD-RAW"),
            *((0, b"IIRO"), (0, b"IIRS"), (0, b"MMOR")),  # Olympus
            (0, b"IIU\0"),  # Panasonic
            (0, b"\0MRM"),  # Minolta
            (0, b"FOVb"),  # Sigma
        ),
        extra="raw",
        package="rawpy",
    ),
    ImageFormat("JPEG", "JPEG", ("jpg", "jpeg", "jpe", "jfif"), ((0, b"\xff\xd8"),), also=("MPO",)),
    ImageFormat("MPO", "JPEG", ("mpo",)),
    ImageFormat("PNG", "PNG", ("png", "apng"), ((0, b"\x89PNG"),)),
    ImageFormat("WEBP", "WebP", ("webp",), ((8, b"WEBP"),), seconds=(0.04, 0.12)),
    ImageFormat("GIF", "GIF", ("gif",), ((0, b"GIF8"),)),
    ImageFormat("TIFF", "TIFF", ("tif", "tiff"), ((0, b"II*\0"), (0, b"MM\0*"))),
    ImageFormat("BMP", "BMP", ("bmp",), ((0, b"BM"),)),
    ImageFormat("AVIF", "AVIF", ("avif", "avifs"), ((4, b"ftypavif"), (4, b"ftypavis")), seconds=(0.01, 0.08)),
    _HEIF,
    replace(
        _HEIF,
        title="HEIC",
        suffixes=("heic", "heics"),
        signatures=tuple((4, b"ftyphei" + last) for last in (b"c", b"x", b"m", b"s")),
    ),
    ImageFormat(
        "JPEG2000",
        "JPEG 2000",
        ("jp2", "j2k", "jpf", "jpx", "jpc", "j2c"),
        ((0, b"\0\0\0\x0cjP  "), (0, b"\xff\x4f\xff\x51")),
        seconds=(0.03, 0.22),
    ),
    ImageFormat("PPM", "PPM", ("ppm", "pgm", "pbm", "pnm", "pfm")),
)

RAW_SUFFIXES = frozenset(f".{suffix}" for one in FORMATS if one.name == RAW for suffix in one.suffixes)
IMAGE_SUFFIXES = frozenset(f".{suffix}" for one in FORMATS for suffix in one.suffixes)
NAMES_BY_SUFFIX = {suffix: (one.name, *one.also) for one in FORMATS if one.name != RAW for suffix in one.suffixes}
"""What PIL calls the files with a suffix; a RAW file's format is its suffix."""

UNINTERRUPTED = {one.name: one.seconds for one in FORMATS if one.seconds}
EXTRAS = {one.extra: one.package for one in FORMATS if one.extra}
"""The package that each optional part brings, by the part's name in `pip install 'cocasearch[…]'`."""


class MissingExtraError(Exception):
    """The image can be read once an optional part of this package is installed.

    Args:
        title: What the image is, as people call it.
        extra: The part's name.
    """

    def __init__(self, title: str, extra: str) -> None:
        super().__init__(f"{title} needs: pip install 'cocasearch[{extra}]'")
        self.extra = extra


def is_installed(extra: str) -> bool:
    """Whether an optional part is there; nothing of it is imported."""
    return extra in EXTRAS and find_spec(EXTRAS[extra]) is not None


def format_of(head: bytes) -> ImageFormat | None:
    """The format of a file that begins with `head`, some 20 bytes; None if no signature is known."""
    return next((one for one in FORMATS if any(head.startswith(mark, at) for at, mark in one.signatures)), None)
