"""Conversion of decoded images of any mode and colour space to 8-bit sRGB over white.

Embedded ICC profiles are applied where they change anything. Most profiles only say that the image is sRGB, and those
cost nothing. A profile that is broken, or meant for other pixels, is ignored.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageCms

_BAND = 4_000_000  # pixels of a very large image that are converted at once
_MAX_PROFILE_BYTES = 8_000_000  # press profiles take 2 MB
_SEEN_AS_EQUAL = 3  # levels of 255 by which a profile may differ from sRGB and count as it
_COLOR_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # ICC's name -> PIL's mode
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0
_SCALE_16_TO_8 = ((np.arange(65536) + 128) // 257).astype(np.uint8)


def to_srgb(image: Image.Image, divisor: int = 1) -> Image.Image:
    """A loaded image as sRGB, mode "RGB", with transparency laid over white; the same image if it is that already.

    Args:
        image: The image.
        divisor: Side in pixels of the squares whose average becomes one pixel. A very large image is converted a few
            rows at a time, so that only those are in memory twice.
    """
    if divisor == 1:
        return _whole_to_srgb(image)
    if image.mode == "F":  # its levels are stretched as a whole
        return _whole_to_srgb(image.reduce(divisor))
    small = Image.new("RGB", (-(-image.width // divisor), -(-image.height // divisor)))
    rows = max(1, _BAND // (image.width * divisor)) * divisor
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        band.format = image.format
        vars(band)["tag_v2"] = getattr(image, "tag_v2", {})
        small.paste(_whole_to_srgb(band).reduce(divisor), (0, top // divisor))
    return small


def _whole_to_srgb(image: Image.Image) -> Image.Image:
    opaque, alpha = _split_alpha(image)
    rgb = _opaque_to_srgb(opaque, image.info.get("icc_profile"))
    if alpha is None:
        return rgb
    white = Image.new("RGB", image.size, "white")
    white.paste(rgb, mask=alpha)
    return white


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours of an image, and its alpha channel if it has one."""
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode.startswith("I"):
        clear = image.info.get("transparency")  # a level, of a 16-bit PNG
        return image, None if clear is None else Image.fromarray((np.asarray(image) != clear).astype(np.uint8) * 255)
    if not image.has_transparency_data:
        return image, None
    pixels = image.convert("RGBA")
    return pixels.convert("RGB"), pixels.getchannel("A")


def _opaque_to_srgb(image: Image.Image, profile: object) -> Image.Image:
    pixels = _in_plain_mode(image)
    known = profile if isinstance(profile, bytes) and len(profile) <= _MAX_PROFILE_BYTES else b""
    transform = _transform_to_srgb(known, pixels.mode)
    if transform:
        return transform.apply(pixels)
    return pixels if pixels.mode == "RGB" else pixels.convert("RGB")


def _in_plain_mode(image: Image.Image) -> Image.Image:
    """An opaque image in mode L, RGB, CMYK or LAB, 8 bits per channel."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_gray_to_8_bits(image)
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        # PIL takes inks for inverted, as Adobe stores them in JPEG; without Adobe's marker they are not.
        return ImageChops.invert(image)
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _deep_gray_to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit levels scaled to 8 bits, where PIL would clip them to white; floats stretched from lowest to highest.

    In TIFF files PIL neither scales levels of 12 bits nor inverts those in which 0 is white, so both are done here.
    """
    tags = getattr(image, "tag_v2", {})
    levels, (bits, *_) = np.asarray(image), tags.get(_BITS_PER_SAMPLE, (16,))
    if image.mode == "F":
        levels = np.nan_to_num(levels.astype(np.float64))
        levels = (levels - levels.min()) / (np.ptp(levels) or 1.0) * 65535
    elif bits < 16:
        levels = levels * (65535 / (2**bits - 1))
    scaled = _SCALE_16_TO_8[levels.clip(0, 65535).astype(np.uint16)]
    return Image.fromarray(255 - scaled if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else scaled)


@lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform of pixels of a plain mode to sRGB; None if PIL's conversion does, or the profile is unusable."""
    srgb = ImageCms.createProfile("sRGB")
    if mode == "LAB":
        return ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, mode, "RGB")
    if not profile:
        return None
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if _COLOR_SPACES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        return None if _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform leaves colours all over the gamut as they are."""
    if mode == "CMYK":
        return False
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    colors = Image.fromarray(cube if mode == "RGB" else steps[None])
    difference = ImageChops.difference(transform.apply(colors), colors.convert("RGB"))
    return bool(np.asarray(difference).max() <= _SEEN_AS_EQUAL)
