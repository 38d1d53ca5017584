"""Which tools the model sees when more are installed than fit in its prompt.

BM25 ranks them, over the words of names, descriptions and examples. A chosen tool that needs a result keeps a tool that
makes one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from assistant.plugin.signature import ToolSpec, Type

from .spelling import spell

K1, B = 1.2, 0.75
FEW = re.compile(r"(ies|es|s|ing|ed)$")
STOP = set(
    re.findall(r"\w+", "a an the of to in on at for and or it is be my me i you that this with from by as what who")
)


class Retrieval:
    """An index over the installed tools."""

    def __init__(self, tools: Mapping[str, ToolSpec]) -> None:
        self._tools = dict(tools)
        self._names = list(tools)
        documents = [Counter(_words(_text(tool))) for tool in tools.values()]
        self._lengths = np.array([sum(d.values()) for d in documents], float)
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for i, document in enumerate(documents):
            for word, count in document.items():
                self._postings.setdefault(word, []).append((i, count))

    def rank(self, text: str) -> list[str]:
        """All tools, the most relevant first."""
        return [self._names[i] for i in np.argsort(-self._scores(text), kind="stable")]

    def choose(self, text: str, most: int, keep: Iterable[str] = (), previous: Sequence[Type] = ()) -> list[str]:
        """At most `most` tools in the order of installation: `keep`, then the most relevant, each with a producer of
        what it needs (unless a result of the `previous` errand will do)."""
        chosen: dict[str, None] = {name: None for name in keep if name in self._tools}
        for name in self.rank(text):
            group = [name, *self._producers(name, {*chosen, name}, text, previous)]
            new = [n for n in dict.fromkeys(group) if n not in chosen]
            if len(chosen) + len(new) <= most:
                chosen |= dict.fromkeys(new)
        return [name for name in self._names if name in chosen]

    def _scores(self, text: str) -> np.ndarray:
        """BM25."""
        scores = np.zeros(len(self._names))
        mean = self._lengths.mean()
        for word in set(_words(text)):
            found = self._postings.get(word, [])
            rarity = math.log(1 + (len(self._names) - len(found) + 0.5) / (len(found) + 0.5))
            for i, count in found:
                scores[i] += rarity * count * (K1 + 1) / (count + K1 * (1 - B + B * self._lengths[i] / mean))
        return scores

    def _producers(self, name: str, chosen: set[str], text: str, previous: Sequence[Type]) -> list[str]:
        """Tools that make what this one requires, and what they require in turn."""
        found: list[str] = []
        for p in self._tools[name].parameters:
            if not p.required or p.type.is_value or any(p.type.takes(t) for t in previous):
                continue
            makers = [n for n, t in self._tools.items() if p.type.takes(t.returns)]
            if not makers or any(m in chosen or m in found for m in makers if m != name):
                continue
            scores = dict(zip(self._names, self._scores(text), strict=True))
            simple = {m: sum(q.required and not q.type.is_value for q in self._tools[m].parameters) for m in makers}
            best = max(makers, key=lambda m: (-simple[m], scores[m]))
            if best not in chosen:
                found += [best, *self._producers(best, chosen | {best, *found}, text, previous)]
        return found


def _text(tool: ToolSpec) -> str:
    parts = [spell(tool.name), spell(tool.name), tool.description, *tool.examples]
    for p in tool.parameters:
        parts += [spell(p.name), p.description, *(spell(c) for c in (p.type.item or p.type).choices)]
    return " ".join(parts)


def _words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.casefold())
    stems = [FEW.sub("", w) if len(w) > 4 else w.removesuffix("s") for w in words if w not in STOP]
    return stems + [stem[:4] for stem in stems if len(stem) > 4]  # "reserve" and "reservation" share their beginning
