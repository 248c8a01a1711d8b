"""The image formats that can be read, with everything that differs between them. A new format is a row of `FORMATS`.

No decoder is imported here, so that looking for image files stays cheap.
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec

RAW = "RAW"


@dataclass(frozen=True)
class ImageFormat:
    """A format, or the part of one that people call by a name of its own (HEIC within HEIF).

    Attributes:
        name: PIL's name of the format; `RAW` for the sensor data of cameras, which `raw.py` reads.
        title: The name that people use.
        suffixes: Suffixes of its files, without the dot.
        signatures: Pairs of an offset and the bytes that its files have there. A format that only PIL can recognise has
            none.
        also: Other names that PIL gives to files with these suffixes.
        extra: The optional part of this package that brings the decoder; empty if PIL does.
        package: The Python package in that part.
        register: The function of that package that makes the decoder known to PIL.
        seconds: Decoding time per megapixel and per megabyte, from images of noise and of flat colour, on one core of
            2020. Given only for decoders that take a whole file in one call, which nothing can interrupt.
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
"""PIL's format names of the files with a suffix. The format of a RAW file is its suffix, so these are not here."""

UNINTERRUPTED = {one.name: one.seconds for one in FORMATS if one.seconds}
EXTRAS = {one.extra: one.package for one in FORMATS if one.extra}
"""The Python package in each optional part, by the part's name in `pip install 'cocasearch[…]'`."""


class MissingExtraError(Exception):
    """The image needs an optional part of this package that is not installed.

    Args:
        title: The image's format, as people call it.
        extra: The part's name.
    """

    def __init__(self, title: str, extra: str) -> None:
        super().__init__(f"{title} needs: pip install 'cocasearch[{extra}]'")
        self.extra = extra


def is_installed(extra: str) -> bool:
    """Whether an optional part is installed, without importing it."""
    return extra in EXTRAS and find_spec(EXTRAS[extra]) is not None


def format_of(head: bytes) -> ImageFormat | None:
    """The format of a file that begins with `head` (20 bytes or more); None if no signature matches."""
    return next((one for one in FORMATS if any(head.startswith(mark, at) for at, mark in one.signatures)), None)
