"""From any of Pillow's modes to opaque 8-bit sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from vsearch.decode.deep import eight_bit

_SRGB = ImageCms.createProfile("sRGB")
_SAME = 2  # levels of 255 by which profiles that are sRGB differ, from rounding of their curves
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def opaque(image: Image.Image) -> Image.Image:
    """Same picture without alpha or palette, 8 bits a channel: mode L, RGB or CMYK.

    What is transparent shows white.
    """
    image = eight_bit(image)
    if image.has_transparency_data:
        if image.mode not in ("RGBA", "LA"):
            image = image.convert("RGBA")
        white = Image.new("L" if image.mode == "LA" else "RGB", image.size, "white")
        white.paste(image.convert(white.mode), mask=image.getchannel("A"))
        return white
    if image.mode in ("L", "RGB", "CMYK"):
        return image
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _checked(ImageCms.profileToProfile(image, lab, _SRGB, outputMode="RGB"))
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """RGB picture in sRGB.  image: mode L, RGB or CMYK.  icc: embedded profile; a broken or unfit one is ignored.

    Meant for the small picture after scaling: converting 12 megapixels takes longer than decoding them.
    """
    if icc:
        try:
            mode, transform = _transform(icc)
            source = image.convert("RGB") if (image.mode, mode) == ("L", "RGB") else image
            if transform and source.mode == mode:
                return _checked(ImageCms.applyTransform(source, transform))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(icc: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Mode that the profile is for, and the way to sRGB (None: it is sRGB already, or for pictures of no such mode)."""
    profile = ImageCms.ImageCmsProfile(BytesIO(icc))
    mode = _PROFILE_MODES.get(profile.profile.xcolor_space.strip())
    if mode is None:
        return "", None
    transform = ImageCms.buildTransform(profile, _SRGB, mode, "RGB")
    return mode, None if mode == "RGB" and _is_identity(transform) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a way from RGB to sRGB leaves colours as they are.  The name of a profile proves nothing."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    out = _checked(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return bool(np.abs(np.asarray(out, np.int16) - colours).max() <= _SAME)


def _checked(image: Image.Image | None) -> Image.Image:
    if image is None:
        raise ValueError("no picture came back from the colour transform")
    return image
