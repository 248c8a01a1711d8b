"""Limits on what decoding one file may take."""

MAX_MEGAPIXELS = 256.0  # beyond the largest cameras; decoded it is 1 GB
MEGAPIXELS_OF_PIL = 1024.0  # what PIL refuses on its own
MAX_TEXT_CHUNK = 64 << 20  # bytes, unpacked, of one text or colour profile in a PNG; PIL allows 1 MB and 64 MB in all
MAX_TEXT = 256 << 20
MAX_SIDE = 200_000  # pixels; PIL's time for a row grows with the square of its length
MAX_FILE_BYTES = 16 << 30
MAX_BYTES_AHEAD = 512 << 20  # read of a file before its pixels are decoded: all of it, of some kinds
SECONDS_PER_FILE = 8.0  # of computing
BYTES_IN_FLIGHT = 1 << 30  # of all images that are being decoded; a larger one is decoded alone
