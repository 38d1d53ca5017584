"""Trigram language model with Kneser-Ney smoothing, in the ARPA format that PocketSphinx reads; and phrases as words.

A trigram sees two words back. Joining frequent neighbours into one token ("send_it_to", "most_recent_photos") lets
it see whole phrases at no cost to the search; byte-pair merging over words finds them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TextIO

ORDER = 3
DISCOUNT = 0.75
JOIN = "_"
LONGEST_PHRASE = 5  # words

Sentence = tuple[str, ...]
Counts = Counter[Sentence]


def join_phrases(sentences: Counts, merges: int, least: int = 20) -> Counts:
    """The sentences with up to `merges` kinds of neighbours (seen at least `least` times) joined by JOIN."""
    items = list(sentences.items())
    left = merges
    while left > 0:
        pairs: Counter[tuple[str, str]] = Counter()
        for tokens, count in items:
            for pair in pairwise(tokens):
                pairs[pair] += count
        batch = [
            pair
            for pair, count in pairs.most_common(min(left, max(1, merges // 8)))
            if count >= least and sum(token.count(JOIN) + 1 for token in pair) <= LONGEST_PHRASE
        ]
        if not batch:
            break
        left -= len(batch)
        chosen = set(batch)
        items = [(_join(tokens, chosen), count) for tokens, count in items]
    joined: Counts = Counter()
    for tokens, count in items:
        joined[tokens] += count
    return joined


def _join(tokens: Sentence, chosen: set[tuple[str, str]]) -> Sentence:
    out: list[str] = []
    position = 0
    while position < len(tokens):
        pair = tokens[position : position + 2]
        if pair in chosen:
            out.append(JOIN.join(pair))
            position += 2
        else:
            out.append(tokens[position])
            position += 1
    return tuple(out)


def write_arpa(sentences: Counts, file: TextIO) -> None:
    """Estimate the model and write it.

    Interpolated Kneser-Ney: lower orders count in how many contexts an n-gram appears, not how often.
    """
    counts = _continuations(_count(sentences))
    vocabulary = {word for (word,) in counts[0]} - {"<s>"}
    total = sum(count for (word,), count in counts[0].items() if word != "<s>")
    kinds = len(counts[0].keys() - {("<s>",)})
    uniform = DISCOUNT * kinds / total / len(vocabulary)
    tables: list[dict[Sentence, float]] = [
        {(word,): max(counts[0].get((word,), 0) - DISCOUNT, 0) / total + uniform for word in vocabulary}
    ]
    backoffs: list[dict[Sentence, float]] = []
    for order in range(1, ORDER):
        table, backoff = _interpolate(counts[order], tables[-1])
        tables.append(table)
        backoffs.append(backoff)
    tables[0]["<s>",] = 1e-99
    _write(tables, backoffs, file)


def _count(sentences: Counts) -> list[Counts]:
    counts: list[Counts] = [Counter() for _ in range(ORDER)]
    for sentence, times in sentences.items():
        tokens = ("<s>", *sentence, "</s>")
        for n in range(1, ORDER + 1):
            for start in range(len(tokens) - n + 1):
                counts[n - 1][tokens[start : start + n]] += times
    return counts


def _continuations(counts: list[Counts]) -> list[Counts]:
    """Highest order as counted; below, the number of different left neighbours (of <s> there are none)."""
    out = [counts[-1]]
    for lower, higher in zip(counts[-2::-1], counts[:0:-1], strict=True):
        table: Counts = Counter(gram[1:] for gram in higher)
        table.update({gram: count for gram, count in lower.items() if gram[0] == "<s>"})
        out.insert(0, table)
    return out


def _interpolate(counts: Counts, lower: dict[Sentence, float]) -> tuple[dict[Sentence, float], dict[Sentence, float]]:
    totals: Counts = Counter()
    kinds: Counts = Counter()
    for gram, count in counts.items():
        totals[gram[:-1]] += count
        kinds[gram[:-1]] += 1
    backoff = {history: DISCOUNT * kinds[history] / totals[history] for history in totals}
    table = {
        gram: (count - DISCOUNT) / totals[gram[:-1]] + backoff[gram[:-1]] * lower[gram[1:]]
        for gram, count in counts.items()
    }
    return table, backoff


def _write(tables: Sequence[dict[Sentence, float]], backoffs: Sequence[dict[Sentence, float]], file: TextIO) -> None:
    file.write("\\data\\\n")
    file.writelines(f"ngram {n}={len(table)}\n" for n, table in enumerate(tables, 1))
    for n, table in enumerate(tables, 1):
        file.write(f"\n\\{n}-grams:\n")
        backoff = backoffs[n - 1] if n <= len(backoffs) else {}
        for gram in sorted(table):
            weight = f"\t{math.log10(backoff[gram]):.4f}" if gram in backoff else ""
            file.write(f"{math.log10(table[gram]):.4f}\t{' '.join(gram)}{weight}\n")
    file.write("\n\\end\\\n")
