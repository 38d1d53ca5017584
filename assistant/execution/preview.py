"""Small pictures of photos, for the page. `render` runs confined: photos are files that anybody may have made."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from .sandbox import Limits, Sandbox
from .sandbox.results import files_in

RENDER = "assistant.execution.preview:render"
LIMITS = Limits(wall_s=10, cpu_s=8, memory_bytes=1 << 30, data_bytes=1 << 20)
SIZE = 240  # pixels of the longer side; the page shows them half as large
QUALITY = 80


def pictures(result: Any) -> list[Path]:
    """The photos of a step's result (its JSON), in order; empty when it is no list of photos."""
    if not isinstance(result, list):
        return []
    photos = [v for v in result if isinstance(v, dict) and v.get("$type") in ("Photo", "Image")]
    return [Path(file) for photo in photos for file in files_in(photo)]


async def preview(sandbox: Sandbox, photo: Path) -> bytes:
    """A JPEG of at most SIZE pixels, upright, without metadata. Raises SandboxError when it cannot be made."""
    return await sandbox.run(RENDER, json.dumps(str(photo)).encode(), LIMITS, read=[photo])


def render(payload: bytes) -> bytes:
    """The path as JSON → the JPEG."""
    import pillow_heif
    from PIL import Image, ImageOps

    pillow_heif.register_heif_opener()
    with Image.open(json.loads(payload)) as photo:
        photo.draft("RGB", (2 * SIZE, 2 * SIZE))
        small = ImageOps.exif_transpose(photo).convert("RGB")
    small.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
