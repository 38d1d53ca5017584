"""The photo index: scan rate on real files, and latency of questions to a large index.

    python benchmarks/photos.py [--files 5000] [--rows 200000]

The files are small JPEGs with EXIF, XMP and positions (their headers are what a scan reads; large files differ only in
the 48 KB read for the fingerprint). The rows are written straight into an index and asked as photos.select asks,
without decoding; the figures are of single questions, warm: wall clock, and processor time, which other work on the
machine does not lengthen.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import resource
import shutil
import tempfile
import time
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from PIL import Image

from assistant.demo import draw
from assistant.plugin import Context, set_context
from tools.photos.index import open_index
from tools.photos.places import fill, nearest
from tools.photos.query import Wanted, search
from tools.photos.scan import refresh, scan

ZONE = ZoneInfo("Europe/Berlin")
NOW = dt.datetime.now(ZONE)
QUESTIONS = {
    "newest five": Wanted(count=5),
    "oldest five": Wanted(count=5, order="oldest"),
    "five at random": Wanted(count=5, order="random"),
    "last weekend": Wanted(count=20, taken="last weekend"),
    "summer 2023, twenty": Wanted(count=20, taken="summer 2023"),
    "of Italy, twenty": Wanted(count=20, place="Italy"),
    "in Oslo": Wanted(count=20, place="Oslo"),
    "Priya": Wanted(count=20, people=("Priya",)),
    "an album": Wanted(count=20, album="Album 17"),
    "favourites": Wanted(count=5, favorites=True),
    "about my dog, twenty": Wanted(count=20, about="my dog"),
    "dog at the beach with Ben": Wanted(count=5, about="dog", people=("Ben",), taken="2024"),
    "newest screenshot": Wanted(count=1, kind="screenshot"),
}
WORDS = """dog cat beach sunset food cake bike tree snow car party lake mountain flower baby train bridge
river""".split()  # noqa: SIM905
PEOPLE = ["Alice Chen", "Ben Osei", "Priya Raman", "Maja Novak", "Tom", "Grandma Rosa"]
SPOTS = [(41.9, 12.5), (45.4, 12.3), (59.9, 10.7), (52.5, 13.4), (38.7, -9.1), (48.9, 2.35), (40.7, -74), (35.7, 139.7)]


def scan_files(count: int, work: Path) -> None:
    """Copies of the demo photos, made different by what is appended."""
    draw(work / "demo")
    photos = sorted((work / "demo").rglob("*.jpg"))
    for n in range(count):
        source = photos[n % len(photos)]
        target = work / "library" / f"Album {n % 40}" / f"{n:06}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes() + n.to_bytes(4, "big"))
    data = work / "data"
    data.mkdir()
    set_context(Context(now=NOW, timezone=ZONE.key, photos=(work / "library",), data=data))
    start, busy = time.perf_counter(), time.process_time()
    report = scan(seconds=3600)
    first, processor = time.perf_counter() - start, time.process_time() - busy
    start = time.perf_counter()
    scan(seconds=3600)
    again = time.perf_counter() - start
    start = time.perf_counter()
    scan(seconds=3600, thorough=False)
    quick = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate, rate_busy = report.read / first, report.read / processor
    print(
        f"scan of {report.photos:,} files: {rate:.0f} a second (wall), {rate_busy:.0f} (processor); memory {memory} MB"
    )
    print(f"again, every file looked at: {again * 1000:.0f} ms; folders only: {quick * 1000:.0f} ms", flush=True)


def ask_rows(count: int, work: Path) -> None:
    data = work / "large"
    data.mkdir()
    db = open_index(data)
    refresh(db, [], NOW, ZONE, lambda fraction, text: None, 5, True)
    fill(db)
    cities = [nearest(db, *spot) for spot in SPOTS]
    chance = random.Random(1)
    db.execute("BEGIN")
    start = NOW.timestamp() - 12 * 365 * 86400
    for n in range(count):
        taken = round((start + 12 * 365 * 86400 * n / count + chance.uniform(0, 600)) * 1000)
        row = {
            **{"id": n, "path": f"/photos/{n % 400}/{n:06}.jpg", "folder": n % 400, "bytes": n, "changed": n},
            **{"kind": "photo" if n % 20 else "screenshot", "media_type": "image/jpeg", "camera": f"Camera {n % 5}"},
            **{"taken": taken, "dated": int(n % 15 > 0), "wall": "2020-01-01T00:00:00", "clock": "home", "decoded": 1},
            **{"city": cities[n % 97 % 8] if n % 3 else None, "favorite": int(n % 50 == 0)},
            **{"fingerprint": n.to_bytes(16, "big"), "shuffle": chance.getrandbits(31)},
        }
        db.execute(f"INSERT INTO photos ({','.join(row)}) VALUES ({','.join('?' * len(row))})", tuple(row.values()))
        if n % 4 == 0:
            db.execute("INSERT INTO people VALUES (?, ?)", (n, PEOPLE[n // 4 % 6]))
        db.execute("INSERT INTO albums VALUES (?, ?)", (n, f"Album {n % 400}"))
        words = " ".join(chance.sample(WORDS, 2))
        db.execute("INSERT INTO words (rowid, keywords, captions, places, album, name) VALUES (?,?,'','',?,?)",
                   (n, words, f"Album {n % 400}", "IMG"))  # fmt: skip
    db.execute("COMMIT")
    here = Context(now=NOW, timezone=ZONE.key)
    worst: list[tuple[float, float]] = []
    for label, wanted in QUESTIONS.items():
        times = []
        for _ in range(40):
            begin = time.perf_counter(), time.process_time()
            found = list(islice(search(db, wanted, here), wanted.count))
            times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
        worst += times[2:]
        times = times[2:]
        print(f"  {label:28} {len(found):3} photos   {figures(times)}", flush=True)
    size = (data / "photos.db").stat().st_size + (data / "photos.db-wal").stat().st_size
    print(f"{count:,} rows, {size >> 20} MB, all questions: {figures(worst)}")


def figures(times: list[tuple[float, float]]) -> str:
    parts = []
    for name, values in zip(("wall", "processor"), zip(*times, strict=True), strict=True):
        ordered = [1000 * v for v in sorted(values)]
        at = int(len(ordered) * 0.95)
        parts.append(f"{name} p50 {ordered[len(ordered) // 2]:6.2f} ms p95 {ordered[at]:6.2f} ms")
    return "   ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    Image.init()
    work = Path(tempfile.mkdtemp())
    try:
        if options.files:
            scan_files(options.files, work)
        if options.rows:
            ask_rows(options.rows, work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
