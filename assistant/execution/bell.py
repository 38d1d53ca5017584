"""Wakes those who wait for news of an errand, and nobody else.

Who waits listens first and looks at the tables after that, so that nothing told in between is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Bell:
    """For one event loop. `about` is an errand's id, or any other name that both sides use."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = {}

    def ring(self, about: str) -> None:
        """Wake all who listen for this."""
        for listener in self._listeners.get(about, ()):
            listener.heard.set()

    @contextlib.contextmanager
    def listen(self, about: str) -> Iterator[Listener]:
        """Hear what is rung from now on."""
        listener = Listener()
        self._listeners.setdefault(about, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[about].discard(listener)
            if not self._listeners[about]:
                del self._listeners[about]


class Listener:
    """One who waits; made by `Bell.listen`."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Return once it rang after the last `wait` returned (or since `listen`), or after `seconds`."""
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.heard.wait()
        self.heard.clear()
