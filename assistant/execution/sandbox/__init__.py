"""Confined execution: one process per call, with nothing but what the call was granted.

| file | role |
|---|---|
| `sandbox.py` | the façade: start, call, run, describe, close |
| `model.py` | calls, limits, results, errors |
| `link.py` | starting the zygote and asking it to fork |
| `zygote.py` | the process that has everything imported and forks |
| `child.py` | the confined process: gives up all it was not granted, runs the tool |
| `landlock.py`, `seccomp.py`, `syscalls.py`, `libc.py` | what it gives up, by kernel interface |
| `supervisor.py` | watches the process from outside |
| `workspace.py`, `results.py` | takes files out of the call's folder |
| `broker.py`, `network.py` | connections to declared hosts: the service's side, the tool's side |
| `protocol.py` | frames and hostile JSON |
"""

from .model import (
    Call,
    CallResult,
    Limits,
    SandboxError,
    SandboxInterrupted,
    SandboxOptions,
    SandboxState,
    SandboxUnavailable,
    ToolFailed,
    ToolLimit,
    ToolTimedOut,
)
from .sandbox import Sandbox

__all__ = [
    "Call", "CallResult", "Limits", "Sandbox", "SandboxError", "SandboxInterrupted", "SandboxOptions", "SandboxState",
    "SandboxUnavailable", "ToolFailed", "ToolLimit", "ToolTimedOut",
]  # fmt: skip
