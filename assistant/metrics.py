"""What is counted, for Prometheus. The names are a contract with dashboards."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

COMMANDS = Counter("assistant_commands_total", "Commands taken", ["input"])  # text | speech
ENDED = Counter("assistant_commands_ended_total", "Commands by how they ended", ["status"])
STAGE = Histogram("assistant_stage_seconds", "Time of a command's stages", ["stage"], buckets=SECONDS)
