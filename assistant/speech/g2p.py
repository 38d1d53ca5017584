"""Letters → phonemes for words that no dictionary has, learned from the pronouncing dictionary in PocketSphinx.

Each letter says a short string of phonemes (none, one or two; EM finds which from the dictionary). The string is
looked up by the letter in ever wider context, one neighbour at a time, and only contexts that change the answer are
kept: an IGTree (Daelemans and van den Bosch, 1996). Train with: python -m assistant.speech.g2p
"""

from __future__ import annotations

import gzip
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

# Which neighbours join the context, in order; -1 is the letter before. The right side tells more in English.
ORDER = (1, -1, 2, -2, 3, -3, 4)
LEAST = 2  # sightings of a context before it is believed
EDGE = "."
FILE = "g2p.txt.gz"

Alignment = list[str]  # phonemes of each letter, joined by spaces; "" is silent


def pronounce(word: str) -> str:
    """Phonemes (ARPABET without stress) of a lower-case word of letters: "niamh" → "N IY AH M"."""
    contexts = _contexts()
    out: list[str] = []
    for position, letter in enumerate(word):
        best = ""
        for context in _widening(word, position, letter):
            best = contexts.get(context, best)
        out.extend(best.split())
    return " ".join(p for i, p in enumerate(out) if i == 0 or p != out[i - 1])


def _widening(word: str, position: int, letter: str) -> Iterator[str]:
    context = letter
    yield context
    for offset in ORDER:
        neighbour = position + offset
        context += word[neighbour] if 0 <= neighbour < len(word) else EDGE
        yield context


@cache
def _contexts() -> dict[str, str]:
    text = gzip.decompress(files(__package__).joinpath(f"data/{FILE}").read_bytes()).decode()
    return dict(line.split("\t") for line in text.splitlines())


def train(pronunciations: Iterable[tuple[str, str]], rounds: int = 4) -> dict[str, str]:
    """Contexts → phonemes, from (word, phonemes) pairs."""
    pairs = [(w, p.split()) for w, p in pronunciations if w.isalpha() and w.isascii() and len(p.split()) <= 2 * len(w)]
    alignments = _align(pairs, rounds)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for (word, _), aligned in zip(pairs, alignments, strict=True):
        for position, said in enumerate(aligned):
            for context in _widening(word, position, word[position]):
                seen[context][said] += 1
    kept: dict[str, str] = {}
    answers: dict[str, str] = {}
    for context in sorted(seen, key=len):
        said, count = min(seen[context].most_common(), key=lambda item: (-item[1], item[0]))
        inherited = answers.get(context[:-1]) if len(context) > 1 else None
        believed = inherited is None or count >= LEAST
        answers[context] = said if believed else inherited or ""
        if answers[context] != inherited:
            kept[context] = answers[context]
    return kept


def _align(pairs: list[tuple[str, list[str]]], rounds: int) -> list[Alignment]:
    """Most probable split of each word's phonemes over its letters, by hard EM from a uniform start."""
    cost: dict[tuple[str, str], float] = {}
    alignments: list[Alignment] = []
    for _ in range(rounds):
        alignments = [_best_split(word, phones, cost) for word, phones in pairs]
        counts: Counter[tuple[str, str]] = Counter()
        letters: Counter[str] = Counter()
        for (word, _), aligned in zip(pairs, alignments, strict=True):
            counts.update(zip(word, aligned, strict=True))
            letters.update(word)
        cost = {(letter, said): -math.log(n / letters[letter]) for (letter, said), n in counts.items()}
    return alignments


def _best_split(word: str, phones: list[str], cost: dict[tuple[str, str], float]) -> Alignment:
    """Dynamic programme over (letters used, phonemes used)."""
    rows: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for letter in word:
        row: dict[int, tuple[float, int]] = {}
        for used, (total, _) in rows[-1].items():
            for take in (1, 0, 2):
                if used + take > len(phones):
                    continue
                said = " ".join(phones[used : used + take])
                price = total + cost.get((letter, said), 12.0 if cost else (0.0, 0.1, 0.3)[(1, 0, 2).index(take)])
                if used + take not in row or price < row[used + take][0]:
                    row[used + take] = (price, take)
        rows.append(row)
    out: Alignment = []
    used = len(phones)
    for row in reversed(rows[1:]):
        take = row[used][1]
        out.append(" ".join(phones[used - take : used]))
        used -= take
    return out[::-1]


def main() -> None:
    from .lexicon import dictionary

    contexts = train((word, said) for word, all_ in dictionary().items() for said in all_[:1])
    text = "".join(f"{context}\t{said}\n" for context, said in sorted(contexts.items()))
    file = Path(__file__).parent / "data" / FILE
    file.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(contexts)} contexts, {file.stat().st_size} bytes in {file}")


if __name__ == "__main__":
    main()
