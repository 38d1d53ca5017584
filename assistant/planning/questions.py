"""Questions to the user, and what an answer means for an argument."""

from __future__ import annotations

import re
from typing import Any

from rapidfuzz import fuzz

from assistant.plugin.plan import Plan
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
SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000}
FRACTIONS = {"half a dozen": 6, "a couple": 2, "couple": 2, "three quarters": 0.75, "a quarter": 0.25}
NUMERAL = (r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*[.,]?\d+|"
           rf"\b(?:{'|'.join(sorted([*NUMBERS, *TENS, *SCALES, 'point'], key=len, reverse=True))})\b)")  # fmt: skip
YES = {"yes", "yeah", "yep", "yup", "sure", "ok", "okay", "on", "true", "enable", "enabled", "please", "do", "right",
       "correct", "definitely", "absolutely", "always"}  # fmt: skip
NO = {
    "no",
    "nope",
    "nah",
    "not",
    "never",
    "off",
    "false",
    "disable",
    "disabled",
    "negative",
    "don't",
    "dont",
    "without",
}
CLOSE = 80  # of 100: how much a word must look like a choice


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
        by_name = tools[step.tool].by_name
        values = {spell(name): _plain(v) for name, v in step.args.items() if by_name[name].type.is_value}
        given = ", ".join(f"{name}: {value}" for name, value in values.items() if value)
        parts.append((words[0].lower() + words[1:] if words else step.tool) + (f" ({given})" if given else ""))
    return Question("confirm", f"I understood: {'; then '.join(parts)}. Is that right?", ("yes", "no"))


def _plain(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " and ".join(str(v).replace("_", " ") if not isinstance(v, bool) else str(v).lower() for v in values)


def interpret(answer: str, spec: ToolSpec, p: Parameter) -> Any:
    """The value that an answer gives to an argument that is no reference. Words stay the user's own. Raises
    Unanswered."""
    kind = p.type.item or p.type
    text = " ".join(answer.split())
    if kind.name != "bool":  # there, "yes" is no filler
        text = _bare(text, spec, p)
    parts = re.split(r"\s*(?:,|&|\band\b)\s*", text) if p.type.item else [text]
    values = [_scalar(part, kind.name if not kind.choices else "enum", kind.choices) for part in parts if part.strip()]
    if not values or None in values:
        raise Unanswered(f"I did not understand that. {ask(spec, p).text}")
    return values if p.type.item else values[0]


def _bare(text: str, spec: ToolSpec, p: Parameter) -> str:
    """An answer without what is only said around it."""
    if p.name == "text":
        start, end, carrier = WORDS_START, WORDS_END, TO_SEND if spec.effect == "send" else TO_REMEMBER
    else:
        start, end, carrier = POLITE_START, POLITE_END, CARRIERS.get(p.name, "")
    text = end.sub("", start.sub("", text)) or text
    if carrier:
        text = re.sub(f"^{carrier}", "", text, flags=re.IGNORECASE) or text
    return text


def _scalar(text: str, kind: str, choices: tuple[str, ...]) -> Any:
    """One value, or None."""
    low = text.casefold().replace("’", "'")
    if kind == "enum":
        return _choice(low.replace("_", " "), {spell(choice).casefold(): choice for choice in choices})
    if kind in ("int", "float"):
        found = _number(low)
        return None if found is None else int(found) if found == int(found) else found if kind == "float" else None
    if kind == "bool":
        said = [word for word in re.findall(r"[a-z']+", low.replace("no problem", "")) if word in YES or word in NO]
        return said[0] in YES if said else None
    return text if re.search(r"\w", text) else None


def _choice(text: str, choices: dict[str, str]) -> str | None:
    """The choice that was said last ("black, no, sepia"), else the one that a few words of the answer look like."""
    said = [(m.end(), m.start(), c) for c in choices for m in re.finditer(rf"(?<!\w){re.escape(c)}(?!\w)", text)]
    if said:
        last = max(end for end, *_ in said)
        return choices[min((start, c) for end, start, c in said if end == last)[1]]  # "iced latte" rather than "latte"
    words = text.split()
    alike = {
        c: max(fuzz.ratio(c, " ".join(words[i : i + len(c.split())])) for i in range(len(words) or 1))
        for c in choices if len(c) > 3
    }  # fmt: skip
    best = max(alike, key=lambda c: alike[c], default="")
    return choices[best] if best and alike[best] >= CLOSE else None


def _number(text: str) -> float | None:
    """The first number in a text, in digits or in words; None when there is none, or more to it than is understood."""
    if re.search(r"\b(minus|negative)\b|-\s*\d|\d{10}", text):
        return None
    half = 0.5 if re.search(r"\band a half\b", text) else 0.0
    if half and re.search(r"\ban? [a-z]+ and a half\b", text):
        return 1.5  # "an hour and a half"
    for said, amount in FRACTIONS.items():
        if re.search(rf"\b{said}\b", text):
            return amount
    if fraction := re.search(r"(\d+)\s*/\s*(\d+)", text):
        return int(fraction[1]) / int(fraction[2]) if int(fraction[2]) else None
    found = re.search(rf"{NUMERAL}(?:[\s-]+(?:and\s+)?{NUMERAL})*", text)
    return _added(re.findall(NUMERAL, found[0])) + half if found else 0.5 if re.search(r"\bhalf\b", text) else None


def _added(numerals: list[str]) -> float:
    """Numerals in a row as one number: "two hundred and five", "three dozen", "1,200", "two point five"."""
    total = current = 0.0
    for n, word in enumerate(numerals):
        if word == "point":
            return total + current + float("0." + "".join(f"{NUMBERS.get(w, w)}" for w in numerals[n + 1 :]))
        if word in SCALES:
            current = (current or 1) * SCALES[word]
            total, current = (total + current, 0.0) if word == "thousand" else (total, current)
        elif word in NUMBERS or word in TENS:
            current += NUMBERS.get(word, 0) + TENS.get(word, 0)
        else:
            plain = word.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", word) else word.replace(",", ".")
            current += float(plain)
    return total + current
