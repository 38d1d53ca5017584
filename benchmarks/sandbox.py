"""What confinement costs per call: this sandbox beside a plain subprocess and bubblewrap, with the same work inside.

    python benchmarks/sandbox.py [--calls 200]

Three pieces of work: nothing, nothing with the imaging libraries imported, and a GIF of five small photos. Times are
wall clock from the call to the answer, in milliseconds. Writes benchmarks/results/sandbox.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from assistant.execution.sandbox import Call, Sandbox, SandboxOptions

PLUGIN = '''
from pathlib import Path
from assistant.plugin import Gif, Photo, tool

@tool
def nothing() -> str:
    """Do nothing."""
    return "done"

@tool
def gif(photos: list[Photo]) -> Gif:
    """Make an animation."""
    from PIL import Image
    frames = [Image.open(p.path).convert("P", palette=Image.Palette.ADAPTIVE) for p in photos]
    frames[0].save("out.gif", save_all=True, append_images=frames[1:], duration=500, loop=0)
    return Gif(Path("out.gif"))
'''
FRESH = {
    "nothing": "print('done')",
    "imports": "import numpy, PIL.Image, pillow_heif, imageio.v3, av; PIL.Image.init(); print('done')",
    "gif": """
import sys
from PIL import Image
frames = [Image.open(p).convert("P", palette=Image.Palette.ADAPTIVE) for p in sys.argv[1:]]
frames[0].save("out.gif", save_all=True, append_images=frames[1:], duration=500, loop=0)
""",
}
BUBBLEWRAP = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-all",
              "--die-with-parent", "--new-session", "--clearenv"]  # fmt: skip


def measure(work: Callable[[], object], calls: int) -> dict[str, float]:
    """p50 and p95 of the wall clock of `work`, after three calls that are not counted."""
    for _ in range(3):
        work()
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return {"p50": statistics.median(times), "p95": times[int(0.95 * (len(times) - 1))], "calls": calls}


def throughput(work: Callable[[], object], workers: int, calls: int) -> float:
    """Calls per second when `workers` threads call at the same time."""

    def loop() -> None:
        for _ in range(calls):
            work()

    threads = [threading.Thread(target=loop) for _ in range(workers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return workers * calls / (time.perf_counter() - started)


def fresh(prefix: list[str], code: str, photos: list[Path], folder: Path) -> Callable[[], object]:
    """A new Python for each call, as most sandboxes do it."""
    bind = ["--bind", str(folder), str(folder), "--chdir", str(folder)] if prefix else []
    given = [str(p) for p in photos]
    command = [*prefix, *bind, sys.executable, "-c", code, *given]
    return lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)


def make_gif(photos: list[Path], folder: Path) -> None:
    """The work of the GIF, done right here: what remains when isolation costs nothing."""
    frames = [Image.open(p).convert("P", palette=Image.Palette.ADAPTIVE) for p in photos]
    frames[0].save(folder / "out.gif", save_all=True, append_images=frames[1:], duration=500, loop=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="counted calls of the sandbox (a tenth for the others)")
    calls = parser.parse_args().calls
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "bench_plugin.py").write_text(PLUGIN)
        photos = []
        for i in range(5):
            photos.append(folder / f"{i}.jpg")
            Image.effect_mandelbrot((160, 120), (-2, -1.2, 0.8, 1.2), 20 + i).convert("RGB").save(photos[-1])
        arguments = {"photos": [{"$type": "Photo", "path": str(p)} for p in photos]}
        with Sandbox(SandboxOptions(artifacts=folder / "artifacts", module_paths=(folder,))) as sandbox:
            nothing = Call("bench.nothing", "bench_plugin", "nothing")
            gif = Call("bench.gif", "bench_plugin", "gif", arguments)
            results["this sandbox"] = {
                "imports": measure(lambda: sandbox.call_sync(nothing), calls),
                "gif": measure(lambda: sandbox.call_sync(gif), calls),
            }
            rate = throughput(lambda: sandbox.call_sync(nothing), sandbox.options.workers, max(10, calls // 4))
        results["no isolation (same process)"] = {"gif": measure(lambda: make_gif(photos, folder), calls)}
        prefixes: dict[str, list[str]] = {"subprocess": []}
        if shutil.which("bwrap") and not subprocess.run([*BUBBLEWRAP, "true"], capture_output=True).returncode:
            prefixes["bubblewrap"] = BUBBLEWRAP
        for title, prefix in prefixes.items():
            results[title] = {
                work: measure(fresh(prefix, code, photos if work == "gif" else [], folder), max(10, calls // 10))
                for work, code in FRESH.items()
            }
    show(results, rate)
    report = {"machine": platform.platform(), "cpus": os.cpu_count(), "load": os.getloadavg(), "calls_per_s": rate}
    target = Path(__file__).parent / "results" / "sandbox.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({**report, "ms": results}, indent=1))


def show(results: dict[str, dict[str, dict[str, float]]], rate: float) -> None:
    """Print the table."""
    table = Table("ms per call, p50 / p95", "nothing", "imaging libraries at hand", "small GIF")
    for title, works in results.items():
        cells = [works.get(w) for w in ("nothing", "imports", "gif")]
        table.add_row(title, *[f"{c['p50']:.1f} / {c['p95']:.1f}" if c else "" for c in cells])
    console = Console()
    console.print(table)
    console.print(f"{rate:.0f} calls/s in parallel; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
