"""A GIF of five 12-megapixel JPEGs at 480 pixels: gif.create beside ffmpeg and imageio, time, bytes and likeness.

    python benchmarks/gif.py [FOLDER OF JPEGS] [--runs 3]

Likeness is SSIM of each frame against the photo decoded whole and resized by Lanczos' filter, averaged over the
channels and frames. Without a folder the photos are those of the demo library, enlarged. ffmpeg is left out when it is
not installed. All contenders run on one core (OMP and ffmpeg's threads at 1), one after the other; the best run
counts. Processor time, child processes included, is what other work on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import imageio.v3 as iio
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from assistant.demo import draw
from assistant.plugin import Photo
from tools import gif

SIZE = (480, 360)
PALETTES = {"ffmpeg, one palette": ("full", ""), "ffmpeg, a palette per frame": ("single", ":new=1")}
DITHERS = ("sierra2_4a", "bayer:bayer_scale=5", "none")


def ssim(a: Image.Image, b: Image.Image) -> float:
    """Structural similarity (Wang et al. 2004), Gaussian window of 1.5 pixels."""
    total = 0.0
    for x, y in zip(np.moveaxis(np.asarray(a, float), -1, 0), np.moveaxis(np.asarray(b, float), -1, 0), strict=True):
        mx, my = gaussian_filter(x, 1.5), gaussian_filter(y, 1.5)
        vx, vy = gaussian_filter(x * x, 1.5) - mx * mx, gaussian_filter(y * y, 1.5) - my * my
        both = gaussian_filter(x * y, 1.5) - mx * my
        total += float(np.mean((2 * mx * my + 6.5025) * (2 * both + 58.5225) /
                               ((mx * mx + my * my + 6.5025) * (vx + vy + 58.5225))))  # fmt: skip
    return total / 3


def sources(folder: Path | None, work: Path) -> list[Path]:
    """Five photos of 4000 × 3000 pixels."""
    if folder is None:
        folder = work / "demo"
        draw(folder)
    wide = []
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as picture:
            ratio = picture.width / picture.height
        if abs(ratio - 4 / 3) < 0.01 and path.stat().st_size > 60_000:
            wide.append(path)
    out = []
    for n, path in enumerate(wide[:: max(1, len(wide) // 5)][:5]):
        out.append(work / f"photo{n}.jpg")
        with Image.open(path) as picture:
            picture.convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS).save(out[-1], quality=92)
    return out


def with_imageio(photos: list[Path], target: Path) -> None:
    frames = [np.asarray(Image.fromarray(iio.imread(p)).resize(SIZE, Image.Resampling.LANCZOS)) for p in photos]
    iio.imwrite(target, frames, duration=500, loop=0)


def with_ffmpeg(mode: str, use: str, dither: str, pattern: Path, target: Path) -> None:
    graph = (f"scale={SIZE[0]}:{SIZE[1]}:flags=lanczos,split[a][b];[a]palettegen=stats_mode={mode}[p];"
             f"[b][p]paletteuse=dither={dither}{use}")  # fmt: skip
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-threads", "1", "-framerate", "2", "-i", str(pattern), "-vf", graph,
                    "-filter_threads", "1", str(target)], check=True)  # fmt: skip


def measure(name: str, make: Callable[[], Path], wanted: list[Image.Image], runs: int) -> None:
    times, busy = [], []
    for _ in range(runs + 1):  # the first one loads libraries and does not count
        start, before = time.perf_counter(), sum(os.times()[:4])
        path = make()
        times.append(time.perf_counter() - start)
        busy.append(sum(os.times()[:4]) - before)
    likeness = []
    with Image.open(path) as picture:
        for n, frame in enumerate(wanted):
            picture.seek(n)
            likeness.append(ssim(picture.convert("RGB"), frame))
    speed = f"{min(times[1:]) * 1000:6.0f} ms, processor {min(busy[1:]) * 1000:5.0f} ms"
    print(f"{name:46} {speed} {path.stat().st_size:9,} bytes   SSIM {np.mean(likeness):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    folder = options.folder.resolve() if options.folder else None
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        work = Path(name)
        photos = sources(folder, work)
        wanted = [Image.open(p).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS) for p in photos]
        measure("gif.create", lambda: gif.create([Photo(p) for p in photos]).path, wanted, options.runs)
        target = work / "peer.gif"
        if shutil.which("ffmpeg"):
            for label, (mode, use) in PALETTES.items():
                for dither in DITHERS:

                    def make(mode: str = mode, use: str = use, dither: str = dither) -> Path:
                        with_ffmpeg(mode, use, dither, work / "photo%d.jpg", target)
                        return target

                    measure(f"{label}, {dither}", make, wanted, options.runs)

        def plain() -> Path:
            with_imageio(photos, target)
            return target

        measure("imageio", plain, wanted, options.runs)


if __name__ == "__main__":
    main()
