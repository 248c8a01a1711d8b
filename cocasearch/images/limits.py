"""How much one file may ask for, unless its reader says otherwise."""

MAX_MEGAPIXELS = 256.0  # beyond the largest cameras; decoded it is 1 GB
MEGAPIXELS_OF_PIL = 1024.0  # what PIL refuses on its own
SECONDS_PER_FILE = 8.0
