"""Writes `data/templates.txt` and `data/slots.tsv` from the authored errands: python -m assistant.speech.resources DIR

DIR is the folder of the errands (`assistant/training/data/errands`). The results are committed, so that the
recogniser needs neither the errands nor the training package.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from .spoken import spoken

DATA = Path(__file__).parent / "data"
SLOT = re.compile(r"\{\w+:(\w+)\}")
# A person is called by kinship or role ("my sister", "the team", "grandma") or by a name of their own.
_ROLES = re.compile(
    r"(my|the|our|everyone|everybody|mum|mom|dad|daddy|mama|papa|grandma|grandpa|granny|grandad|granddad|nana|nan|me)\b"
)


def _template(say: str) -> str:
    """Spoken form with the slots kept: `{who:name}` → `<name>`."""
    kinds = SLOT.findall(say)
    pieces = [spoken(piece) for piece in SLOT.sub("\n", say).split("\n")]
    out = pieces[0]
    for kind, piece in zip(kinds, pieces[1:], strict=True):
        out += f" <{kind}> {piece}"
    return " ".join(out.split()).replace("> 's", ">'s")


def main(folder: Path) -> None:
    authored = sorted(folder.glob("builtin-*.jsonl"))
    lines = [json.loads(line) for file in authored for line in file.read_text("utf-8").splitlines()]
    says = [errand["say"] for errand in lines] + [errand["before"]["say"] for errand in lines if "before" in errand]
    templates = sorted({_template(say) for say in says} - {""})
    slots: set[tuple[str, str]] = set()
    for file in sorted(folder.glob("words-*.txt")):
        kind = file.stem.removeprefix("words-").removeprefix("more-")
        if kind == "confusable":
            continue
        for line in file.read_text("utf-8").splitlines():
            value = spoken(line)
            # Names of their own come from the user's contacts, not from here.
            if value and (kind not in ("name", "person") or _ROLES.match(value)):
                slots.add((kind, value))
    DATA.mkdir(exist_ok=True)
    (DATA / "templates.txt").write_text("\n".join(templates) + "\n", "utf-8")
    (DATA / "slots.tsv").write_text("".join(f"{kind}\t{value}\n" for kind, value in sorted(slots)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
