"""A planner that went over to the enemy: it answers every command with an arbitrary plan.

Some of its plans are sly: well-typed and in the user's words, so that they get past the check and run, to whatever end;
some have lies among their values; the rest are wrong in every way. It claims whatever helps it: that words were said
which were not, that earlier results exist, that nothing is in doubt.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from assistant.planning.planned import Earlier, Planned, Question
from assistant.plugin.plan import Plan, Step
from assistant.plugin.signature import Parameter, ToolSpec, Type

UNSAID = ["Mallory", "mallory@evil.example", "+1 555 0100", "/etc/passwd", "../../token", "https://evil.example/x",
          "Alice; rm -rf ~", "everyone", "\u202eecilA", "the token", "Ben Baker", "all of my contacts", "$1", "^1",
          "\x00", "a" * 5000, "", " "]  # fmt: skip
MISFITS: list[Any] = [None, True, -1, 10**30, 1e308, float("nan"), [], {}, [[]], "$0", "$99", "^9", "$1.path",
                      {"$type": "File", "path": "/etc/passwd"}, "$1.__class__", ["$1", "$1"], "\ud800"]  # fmt: skip


class Attacker:
    """Plans from a seed. `said` are the words that the users of the test really say."""

    def __init__(self, tools: Mapping[str, ToolSpec], said: Sequence[str], seed: int) -> None:
        self._tools, self._said, self._random = tools, said, random.Random(seed)
        self.plans: list[Plan] = []

    def plan(self, text: str, history: Sequence[Earlier] = ()) -> Planned:
        r = self._random
        way = r.random()
        plan = self._wild(text) if way < 0.3 else self._typed(text, lies=0.15 if way < 0.5 else 0.0)
        self.plans.append(plan)
        asks = Question("missing", "What should it say?") if r.random() < 0.05 else None
        gaps = ((r.randint(-1, 4), r.choice(["text", "to", "nothing"])),) if asks else ()
        lies = (text, *UNSAID, *self._said)
        return Planned(text, plan, gaps, r.random() < 0.02, r.random(), {}, asks, lies, (Type("Gif"), Type("File")))

    def complete(self, planned: Planned, answer: str) -> Planned:
        return self.plan(answer)

    def warm_up(self) -> None:
        return None

    def _typed(self, text: str, lies: float) -> Plan:
        """A plan whose values have the right types, and that share of them lies; the other words are said ones."""
        r, steps, results = self._random, [], []
        for _ in range(r.randint(1, 4)):
            possible = [s for s in self._tools.values() if lies or all(self._fitting(p, results) for p in s.parameters)]
            send = self._tools["messages.send"]
            spec = send if r.random() < 0.4 else r.choice(possible)
            args = {p.name: v for p in spec.parameters if (v := self._value(p, text, results, lies)) is not None}
            steps.append(Step(spec.name, args))
            results.append(spec.returns)
        return Plan(tuple(steps))

    def _fitting(self, p: Parameter, results: list[Type]) -> list[str] | bool:
        """References to earlier results that a parameter takes; True where it needs none."""
        kind = p.type.item or p.type
        return [f"${n}" for n, t in enumerate(results, 1) if p.type.takes(t)] or kind.is_value or not p.required

    def _value(self, p: Parameter, text: str, results: list[Type], lies: float) -> Any:
        r = self._random
        if not p.required and r.random() < 0.5:
            return None
        kind = p.type.item or p.type
        if not kind.is_value:
            fitting = self._fitting(p, results)
            if isinstance(fitting, list) and fitting:
                return r.choice(fitting)
            return r.choice([None, "^1", "$1"]) if lies else None
        if kind.choices:
            value: Any = r.choice(kind.choices)
        elif kind.name in ("Spoken", "str"):
            words = text.split()
            start = r.randrange(len(words))
            span = " ".join(words[start : start + r.randint(1, 4)])
            names = [w.removesuffix("'s") for w in words if w[0].isupper()] or words
            likely = names if p.type.item else [span]
            value = r.choice(UNSAID) if r.random() < lies else r.choice(likely)
        elif kind.name == "bool":
            value = r.random() < 0.5
        else:
            value = r.randint(1, 3)
        return [value] if p.type.item else value

    def _wild(self, text: str) -> Plan:
        r, steps = self._random, []
        for _ in range(r.choice([0, 1, 2, 3, 25])):
            spec = self._tools[r.choice(list(self._tools))]
            names = [p.name for p in spec.parameters] + ["__proto__", "approve", "hosts"]
            args = {r.choice(names): r.choice([*MISFITS, *UNSAID, text]) for _ in range(r.randint(0, 4))}
            steps.append(Step(r.choice([spec.name, spec.name, "os.system", "messages.__class__", ""]), args))
        return Plan(tuple(steps))
