"""`python -m assistant.cli.health`: exit code 0 when the service on this machine is ready. For containers."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path

from assistant.config import DEFAULT_HOME


def main() -> int:
    """Ask `/health` with the data folder's token; only what the environment says is looked at, so it is quick."""
    home = Path(os.environ.get("ASSISTANT_HOME") or DEFAULT_HOME).expanduser()
    url = f"http://127.0.0.1:{os.environ.get('ASSISTANT_PORT', '8080')}/health"
    try:
        token = (home / "token").read_text("ascii").strip()
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=4) as answer:
            status = json.load(answer)["status"]
    except (OSError, ValueError, KeyError) as error:
        print(error, file=sys.stderr)
        return 1
    print(status)
    return int(status != "ready")


if __name__ == "__main__":
    raise SystemExit(main())
