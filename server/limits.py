"""How many commands a minute."""

from __future__ import annotations

import math
import time
from collections import deque

WINDOW_S = 60.0


class Rate:
    """At most `limit` within any minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: deque[float] = deque()

    def take(self) -> int:
        """0 if there is room, which is then taken; else the seconds until there will be."""
        now = time.monotonic()
        while self._taken and self._taken[0] <= now - WINDOW_S:
            self._taken.popleft()
        if len(self._taken) >= self._limit:
            return max(1, math.ceil(self._taken[0] + WINDOW_S - now))
        self._taken.append(now)
        return 0
