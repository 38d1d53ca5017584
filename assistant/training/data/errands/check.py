"""Validates the authored errands: python check.py [files…]. Exits 1 and names file:line on the first faults."""

import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
EFFECTS = ["grayscale", "sepia", "rotate_left", "rotate_right", "flip", "square", "brighten", "sharpen", "blur"]
VIA = ["email", "telegram", "signal", "matrix", "whatsapp", "slack", "sms"]
S, L, W, I, F, B = "spoken", "list", "list of words", "int", "float", "bool"
BUILTIN = {
    "photos.select": (
        {
            "count": I,
            "order": ["newest", "oldest", "random"],
            "taken": S,
            "about": S,
            "place": S,
            "people": W,
            "album": S,
            "favorites": B,
            "kind": ["photo", "screenshot"],
        },
        [],
    ),
    "photos.edit": ({"photos": "ref", "effect": EFFECTS}, ["photos", "effect"]),
    "photos.add_to_album": ({"photos": "ref", "album": S}, ["photos", "album"]),
    "gif.create": (
        {"photos": "ref", "seconds_per_photo": F, "size": ["small", "medium", "large"], "loop": B, "bounce": B},
        ["photos"],
    ),
    "video.create": ({"photos": "ref", "seconds_per_photo": F}, ["photos"]),
    "collage.create": ({"photos": "ref", "columns": I}, ["photos"]),
    "messages.send": ({"to": W, "text": S, "attachments": L, "via": VIA}, ["to"]),
    "contacts.find": ({"name": S}, ["name"]),
    "reminders.add": ({"text": S, "when": S}, ["text", "when"]),
    "notes.add": ({"text": S}, ["text"]),
}
KINDS = {
    "int",
    "seconds",
    "cols",
    "name",
    "person",
    "time",
    "when",
    "about",
    "place",
    "album",
    "message",
    "todo",
    "note",
    "spoken",
}
NUMERIC = {"int", "seconds", "cols"}
SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
REF = re.compile(r"[$^]\d+(\.\w+)?$")


def signature(tool):
    params = {}
    for name, p in tool.get("params", {}).items():
        words = p["type"] == "list" and p["of"] == "spoken"
        params[name] = p["values"] if p["type"] == "enum" else W if words else p["type"]
    return params, [n for n, p in tool.get("params", {}).items() if p.get("required")]


def spoken_ok(value, say, slots):
    if not isinstance(value, str) or not value:
        return False
    ids = SLOT.findall(value)
    if any(i not in slots for i, _ in ids):
        return False
    if SLOT.fullmatch(value) and slots[ids[0][0]] in NUMERIC:
        return False  # it would be filled with a number, not with words
    pattern = re.sub(r"\\\{(\w+)\\\}", r"\\{\1:\\w+\\}", re.escape(value))
    return re.search(pattern, say, re.IGNORECASE) is not None


def check_value(kind, v, say, slots):
    if isinstance(kind, list):
        return v in kind
    if isinstance(v, str) and SLOT.fullmatch(v):
        slot = slots.get(v[1:-1].split(":")[0])
        return slot is not None and (slot not in NUMERIC or kind != S)
    if isinstance(v, str) and REF.match(v):
        return kind in ("ref", L)
    if kind == I:
        return isinstance(v, int) and not isinstance(v, bool)
    if kind == F:
        return isinstance(v, (int, float)) and not isinstance(v, bool)
    if kind == B:
        return isinstance(v, bool)
    if kind == W:  # the names of results are no words
        return isinstance(v, list) and all(spoken_ok(x, say, slots) for x in v)
    if kind == L:
        return isinstance(v, list) and all(
            REF.match(x) if isinstance(x, str) and x[:1] in "$^" else spoken_ok(x, say, slots) for x in v
        )
    if kind == "ref":
        return False
    return spoken_ok(v, say, slots)


def check_errand(e, tools):
    say = e["say"]
    if "before" in e:  # a correction may keep words of the previous utterance
        say = e["before"]["say"] + " " + say
    slots = {i: k for i, k in SLOT.findall(say) if k}
    bad = [k for k in slots.values() if k not in KINDS]
    if bad:
        return f"slot kind {bad}"
    for n, step in enumerate(e["plan"], 1):
        tool, args = step
        if tool not in tools:
            return f"unknown tool {tool}"
        params, required = tools[tool]
        for k, v in args.items():
            if k not in params:
                return f"{tool} has no argument {k}"
            if not check_value(params[k], v, say, slots):
                return f"{tool}.{k} = {v!r} does not fit"
            for r in re.findall(r"\$(\d+)", json.dumps(v)):
                if int(r) >= n:
                    return f"{tool}.{k}: ${r} is not an earlier step"
        missing = [r for r in required if r not in args and r != e.get("ask")]
        if missing:
            return f"{tool} lacks {missing}"
    return None


def errands(path):
    if path.suffix == ".jsonl":
        for i, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip():
                yield i, line, BUILTIN
    else:
        d = json.loads(path.read_text())
        tools = {t["name"]: signature(t) for t in d["tools"]}
        for i, e in enumerate(d["errands"], 1):
            yield i, json.dumps(e), tools


def main():
    paths = [pathlib.Path(p) for p in sys.argv[1:]] or sorted(HERE.glob("builtin-*.jsonl")) + sorted(
        HERE.glob("domain-*.json")
    )
    faults = total = 0
    seen = set()
    for path in paths:
        count = 0
        for i, line, tools in errands(path):
            try:
                e = json.loads(line)
                fault = check_errand(e, tools) or (check_errand(e["before"], tools) if "before" in e else None)
                key = (json.dumps(e.get("before")), re.sub(r"\W+", " ", e["say"].lower()))
                if path.suffix == ".jsonl" and key in seen:
                    fault = fault or "said before"
                seen.add(key)
            except (ValueError, KeyError, TypeError) as x:
                fault = f"{type(x).__name__}: {x}"
            if fault:
                faults += 1
                if faults <= 40:
                    print(f"{path.name}:{i}: {fault}")
            count += 1
        total += count
        print(f"{path.name}: {count} errands")
    print(f"{total} errands, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
