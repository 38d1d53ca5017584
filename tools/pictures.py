"""Opens pictures that nobody vouches for: any file of a photo library, broken and hostile ones included.

Choices: a list of formats instead of whatever the library can parse (no EPS, no PDF); pixel limits checked on the
header, before anything is decoded; JPEGs decoded at the size that is wanted (the DCT does the first reduction), which
is many times faster than decoding all of a 12-megapixel photo; pixels come out upright, in sRGB, without metadata.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF")
MAX_BYTES = 400 << 20
MAX_PIXELS = 40_000_000  # decoded whole, 4 to 8 bytes a pixel
# Decoders that hold the picture several times; progressive JPEG and HEIF, which phones write with 48 megapixels.
LIMITS = {"WEBP": 20_000_000, "AVIF": 20_000_000, "HEIF": 50_000_000, "JPEG": 50_000_000, "MPO": 50_000_000}
MAX_PIXELS_STREAMED = 200_000_000  # baseline JPEG, which is decoded line by line at a fraction of its size
ORIENTATION = 0x0112


class Unusable(ValueError):
    """A file that is no picture, or not one that can be worked with; the message is the reason, for the user."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading; never through a symbolic link, never waiting on a FIFO. Raises Unusable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = "a symbolic link" if path.is_symlink() else getattr(error, "strerror", None) or str(error)
        raise Unusable(f"cannot be opened: {reason}") from error
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable("not a regular file")
        if status.st_size == 0:
            raise Unusable("an empty file")
        if status.st_size > MAX_BYTES:
            raise Unusable(f"larger than {MAX_BYTES >> 20} MB")
        yield file


@contextmanager
def header(path: Path) -> Iterator[ImageFile]:
    """The picture in a file, its size and metadata read and judged, its pixels not decoded. Raises Unusable."""
    import pillow_heif
    from PIL import Image as pil
    from PIL import TiffImagePlugin, WebPImagePlugin  # noqa: F401  (the others load alone; MPO comes with JPEG)

    with contextlib.suppress(ImportError):  # a Pillow without AVIF
        from PIL import AvifImagePlugin  # noqa: F401
    pillow_heif.register_heif_opener()
    pil.MAX_IMAGE_PIXELS = None  # judged below, by format
    with opened(path) as file, _faults(), pil.open(file, formats=FORMATS) as image:
        _judge(image)
        yield image


def _judge(image: ImageFile) -> None:
    streamed = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
    limit = MAX_PIXELS_STREAMED if streamed else LIMITS.get(image.format or "", MAX_PIXELS)
    width, height = image.size
    if width * height > limit:
        raise Unusable(f"too large: {width} × {height} pixels; at most {limit // 1_000_000} megapixels are opened")
    if width < 1 or height < 1:
        raise Unusable("a picture without pixels")


@contextmanager
def _faults() -> Iterator[None]:
    """Whatever a parser may throw at bad bytes, as one Unusable with a readable reason."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except Unusable:
        raise
    except UnidentifiedImageError as error:
        raise Unusable("not a picture of a known format") from error
    except MemoryError as error:
        raise Unusable("needs too much memory") from error
    except Exception as error:  # decoders raise every kind: struct.error, SyntaxError, KeyError, EOFError, …
        raise Unusable(f"broken: {' '.join(str(error).split())[:120] or type(error).__name__}") from error


def decode(path: Path, box: tuple[int, int]) -> Image:
    """The upright picture in sRGB (mode RGB), scaled down to fit into `box` = (width, height).

    Never scaled up. Raises Unusable when the pixels cannot be decoded.
    """
    from PIL import Image as pil

    with header(path) as image:
        turn = _turn(image)
        if turn in TURNS_SIDEWAYS:
            box = box[1], box[0]
        width, height = image.size
        scale = min(1.0, box[0] / width, box[1] / height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image.draft("RGB", (2 * size[0], 2 * size[1]))  # twice: the DCT's own reduction is not the best filter
        profile = image.info.get("icc_profile")
        small = _rgb(image, size)
        if small.size != size:
            small = small.resize(size, pil.Resampling.LANCZOS)
        small = _to_srgb(small, profile)
        if turn in TURNS:
            small = small.transpose(getattr(pil.Transpose, TURNS[turn]))
        small.info.clear()
        return small


TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270",
         7: "TRANSVERSE", 8: "ROTATE_90"}  # fmt: skip
TURNS_SIDEWAYS = (5, 6, 7, 8)


def _turn(image: Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken EXIF must not cost the picture
        return 1


def _rgb(image: Image, size: tuple[int, int]) -> Image:
    """Reduced by a whole factor as early as the mode allows, then in mode RGB on white."""
    from PIL import Image as pil

    factor = min(image.width // max(1, size[0]), image.height // max(1, size[1]))
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        image = image.point(lambda v: v / 256).convert("L")
    elif image.mode in ("P", "PA", "1", "F") or "transparency" in image.info:
        image = image.convert("RGBA")
    else:
        image.load()
    if factor >= 3:
        image = image.reduce(factor // 2)  # leaves a factor of two or more to the better filter
    if image.mode in ("RGBA", "LA", "La", "RGBa"):
        image = image.convert("RGBA")
        image = pil.alpha_composite(pil.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _to_srgb(image: Image, profile: bytes | None) -> Image:
    if not profile or b"sRGB" in profile[:4096]:
        return image
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a profile that does not fit the pixels: the colours as they are
    return converted or image
