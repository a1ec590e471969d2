"""Pictures as others may see them."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS: Final = 50_000_000
EDGE: Final = 2_048  # pixels of the longer side of a copy


def without_metadata(content: bytes) -> bytes | None:
    """The picture drawn anew as JPEG: pixels alone, upright, of a bounded size. None for what is no picture."""
    try:
        with Image.open(BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None
    upright.thumbnail((EDGE, EDGE))
    bare = Image.new("RGB", upright.size)
    bare.paste(upright)  # pixels alone: what else the picture knows stays behind
    drawn = BytesIO()
    bare.save(drawn, "JPEG", quality=85)
    return drawn.getvalue()
