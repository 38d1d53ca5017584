"""What the executor adds to a step: errands of no-op steps, with and without the sandbox.

    python -m benchmarks.executor [--errands 40] [--steps 5] [--database postgresql://…]

Prints the time from `submit` to the end of an errand of one step, and per step of errands of `--steps` independent
steps (median and 95th percentile over errands): of the executor alone, whose tools do nothing, and with the sandbox.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import time
from collections.abc import Callable
from typing import Any

from assistant.execution.sandbox import Call, CallResult
from tests.execution import kit


class InProcess:
    """The same interface as the sandbox without confinement: what remains is the executor's own work."""

    def __init__(self, sandbox: Any):
        self.artifacts, self.state = sandbox.artifacts, sandbox.state

    async def call(self, call: Call, progress: Callable[[float, str], None]) -> CallResult:
        return CallResult("nothing", (), 0.0)


async def measure(executor: Any, steps: int, errands: int) -> list[float]:
    """Milliseconds per step of errands of no-op steps, one errand after the other."""
    out = []
    for i in range(errands + 3):
        began = time.perf_counter()
        state = await executor.submit(kit.request(*[("kit.nothing", {})] * steps))
        state = await executor.wait(state.id)
        assert state.status == "done", state
        if i >= 3:
            out.append((time.perf_counter() - began) * 1000 / steps)
    return out


def show(name: str, values: list[float]) -> None:
    values = sorted(values)
    print(f"{name:48s} p50 {statistics.median(values):7.1f} ms   p95 {values[int(len(values) * 0.95)]:7.1f} ms")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errands", type=int, default=40)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--database", help="PostgreSQL URL; default SQLite")
    options = parser.parse_args()
    folder = kit.public_folder()
    try:
        with kit.sandbox_in(folder) as sandbox:
            registry = kit.test_registry(sandbox)
            more = {"registry": registry, "database_url": options.database}
            async with kit.executor_in(folder, InProcess(sandbox), **more) as executor:
                show("executor alone, errand of one step", await measure(executor, 1, options.errands))
                name = f"executor alone, per step of {options.steps}"
                show(name, await measure(executor, options.steps, options.errands))
            async with kit.executor_in(folder, sandbox, **more) as executor:
                show("with the sandbox, errand of one step", await measure(executor, 1, options.errands))
                name = f"with the sandbox, per step of {options.steps}"
                show(name, await measure(executor, options.steps, options.errands))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(main())
