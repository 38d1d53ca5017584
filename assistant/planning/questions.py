"""Questions to the user, and what an answer means for an argument."""

from __future__ import annotations

import re
from typing import Any

from rapidfuzz import fuzz, process

from assistant.plugin.plan import Plan, Reference
from assistant.plugin.signature import Parameter, ToolSpec

from .planned import Question
from .spelling import spell

POLITE_START = re.compile(
    r"^(?:(?:um+|uh+|er+|erm|hmm+|well|so|oh|please|just|ok(?:ay)?|yes|yeah|sure)\b[\s,.!]*)+", re.IGNORECASE
)
POLITE_END = re.compile(r"[\s,.!]*(?:\b(?:please|thanks|thank you|if you can)\b)?[\s,.!]*$", re.IGNORECASE)
CARRIERS = {
    "to": r"(?:(?:send|mail|text|give)\s+(?:it|them|this|that)\s+)?to\s+",
    "text": r"(?:(?:say|write|(?:tell|ask)\s+(?:him|her|them)|remind\s+me)(?:\s+(?:that|to))?\s+)",
    "name": r"(?:(?:it'?s|that'?s|look\s+up|find)\s+)",
    "album": r"(?:(?:in(?:to)?|to|call\s+it|it'?s|use)\s+(?:the\s+)?(?:album\s+)?)",
    "when": r"(?:(?:make\s+it|remind\s+me|do\s+it)\s+)",
}
NUMBERS: dict[str, float] = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
NUMBERS |= {"eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "zero": 0}
NUMBERS |= {"dozen": 12, "couple": 2, "half": 0.5}


class Unanswered(ValueError):
    """The answer does not give what was asked; the message is the question to ask next."""


def ask(spec: ToolSpec, p: Parameter) -> Question:
    """The question for a missing argument."""
    kind = p.type.item or p.type
    name = spell(p.name)
    about = p.description.strip().rstrip(".?")
    if kind.choices:
        *some, last = (choice.replace("_", " ") for choice in kind.choices)
        return Question("missing", f"Which {name}: {', '.join(some)}{' or ' if some else ''}{last}?", kind.choices)
    if not kind.is_value:
        return Question("missing", f"Which {name}?")
    if p.name == "when":
        return Question("missing", "When should that be?")
    if match := re.match(r"(what|who|whom|which|when|where|how)\s+to\s+(be\s+)?(.+)", about, re.IGNORECASE):
        return Question("missing", f"{match[1].capitalize()} should {'you be' if match[2] else 'I'} {match[3]}?")
    if re.match(r"(what|who|whom|which|when|where|how)\b", about, re.IGNORECASE):
        return Question("missing", f"{about[0].upper()}{about[1:]}?")
    if re.match(r"(the|a|an)\s", about):
        return Question("missing", f"What is {about}?")
    return Question("missing", f"I still need the {name}{f' ({about})' if about else ''}. What should it be?")


def read_back(plan: Plan, tools: dict[str, ToolSpec]) -> Question:
    """Ask whether this is meant."""
    parts = []
    for step in plan.steps:
        words = tools[step.tool].description.split(".")[0].strip()
        given = ", ".join(f"{spell(name)}: {_plain(value)}" for name, value in step.args.items() if _plain(value))
        parts.append((words[0].lower() + words[1:] if words else step.tool) + (f" ({given})" if given else ""))
    return Question("confirm", f"I understood: {'; then '.join(parts)}. Is that right?", ("yes", "no"))


def _plain(value: Any) -> str:
    values = [v for v in (value if isinstance(value, list) else [value]) if not Reference.parse(v)]
    return " and ".join(str(v).replace("_", " ") if not isinstance(v, bool) else str(v).lower() for v in values)


def interpret(answer: str, spec: ToolSpec, p: Parameter) -> Any:
    """The value that an answer gives to an argument that is no reference. Words stay the user's own. Raises
    Unanswered."""
    text = POLITE_END.sub("", POLITE_START.sub("", " ".join(answer.split())))
    if p.name in CARRIERS:
        text = re.sub(f"^{CARRIERS[p.name]}", "", text, flags=re.IGNORECASE) or text
    kind = p.type.item or p.type
    parts = re.split(r"\s*(?:,|&|\band\b)\s*", text) if p.type.item else [text]
    values = [_scalar(part, kind.name if not kind.choices else "enum", kind.choices) for part in parts if part.strip()]
    if not values or None in values:
        raise Unanswered(f"I did not understand that. {ask(spec, p).text}")
    return values if p.type.item else values[0]


def _scalar(text: str, kind: str, choices: tuple[str, ...]) -> Any:
    """One value, or None."""
    low = text.casefold()
    if kind == "enum":
        spelled = {spell(choice): choice for choice in choices}
        best = process.extractOne(low, spelled.keys(), scorer=fuzz.partial_ratio, score_cutoff=80)
        return spelled[best[0]] if best else None
    if kind in ("int", "float"):
        number = re.search(r"-?\d+(?:[.,]\d+)?", low)
        found = float(number[0].replace(",", ".")) if number else next(
            (n for word, n in NUMBERS.items() if re.search(rf"\b{word}\b", low)), None)  # fmt: skip
        return None if found is None else int(found) if found == int(found) else found if kind == "float" else None
    if kind == "bool":
        return not re.search(r"\b(no|not|don'?t|off|false)\b", low)
    return text if re.search(r"\w", text) else None
