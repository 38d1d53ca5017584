"""Questions to the user, and what an answer means for an argument."""

from __future__ import annotations

import re
from typing import Any

from rapidfuzz import fuzz, process

from assistant.plugin.plan import Plan, Reference
from assistant.plugin.signature import Parameter, ToolSpec

from .planned import Question
from .spelling import spell

HESITATION = r"um+|uh+|er|erm|hmm+|please"
POLITE_START = re.compile(rf"^(?:(?:{HESITATION}|well|so|oh|just|ok(?:ay)?|yes|yeah|sure)\b[\s,.!]*)+", re.IGNORECASE)
POLITE_END = re.compile(r"[\s,.!]*(?:\b(?:please|thanks|thank you|if you can)\b)?[\s,.!]*$", re.IGNORECASE)
# Of words that are to be written or sent, only what cannot be meant is left off: "Well done!" and "thanks" can be.
WORDS_START = re.compile(rf"^(?:(?:{HESITATION})\b[\s,.]*)+", re.IGNORECASE)
WORDS_END = re.compile(r"(?:[\s,]+please)?[\s,.]*$", re.IGNORECASE)
CARRIERS = {
    "to": r"(?:(?:send|mail|text|give)\s+(?:it|them|this|that)\s+)?to\s+",
    "name": r"(?:(?:it'?s|that'?s|look\s+up|find)\s+)",
    "album": r"(?:(?:in(?:to)?|to|call\s+it|it'?s|use)\s+(?:the\s+)?(?:album\s+)?)",
    "when": r"(?:(?:make\s+it|remind\s+me|do\s+it)\s+)",
}
TO_SEND = r"(?:(?:say|write|(?:tell|ask)\s+(?:him|her|them))(?:\s+that)?\s+)"
TO_REMEMBER = r"(?:(?:remind\s+me\s+(?:that|to)|write\s+down(?:\s+that)?)\s+)"
NUMBERS = {w: n for n, w in enumerate(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])}
NUMBERS |= {"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16}
NUMBERS |= {"seventeen": 17, "eighteen": 18, "nineteen": 19}
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
AMOUNTS = {"half a dozen": 6, "a dozen": 12, "dozen": 12, "a couple": 2, "couple": 2}


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
    text = " ".join(answer.split())
    if p.name == "text":
        start, end, carrier = WORDS_START, WORDS_END, TO_SEND if spec.effect == "send" else TO_REMEMBER
    else:
        start, end, carrier = POLITE_START, POLITE_END, CARRIERS.get(p.name, "")
    text = end.sub("", start.sub("", text)) or text
    if carrier:
        text = re.sub(f"^{carrier}", "", text, flags=re.IGNORECASE) or text
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
        found = _number(low)
        return None if found is None else int(found) if found == int(found) else found if kind == "float" else None
    if kind == "bool":
        return not re.search(r"\b(no|not|don'?t|off|false)\b", low)
    return text if re.search(r"\w", text) else None


def _number(text: str) -> float | None:
    """The first number in a text, in digits or in words up to a hundred, with its halves and dozens."""
    half = 0.5 if re.search(r"\band a half\b", text) else 0.0
    if digits := re.search(r"-?\d+(?:[.,]\d+)?", text):
        return float(digits[0].replace(",", ".")) + half
    for said, amount in AMOUNTS.items():
        if re.search(rf"\b{said}\b", text):
            return amount
    ten, unit = "|".join(TENS), "|".join(sorted(NUMBERS, key=len, reverse=True))
    if found := re.search(rf"\b(?:({ten})(?:[\s-]+({unit}))?|({unit}))(?:\s+point\s+({unit}))?\b", text):
        whole = TENS.get(found[1], 0) + NUMBERS[found[2] or found[3] or "zero"]
        return whole + (NUMBERS[found[4]] / 10 if found[4] else 0.0) + half
    return 0.5 if re.search(r"\bhalf\b", text) else None
