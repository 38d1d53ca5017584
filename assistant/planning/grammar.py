"""Decoding a plan under the grammar of the installed tools (promises P1 and P2).

The grammar depends on what was written before (which results may be referred to), so it is put together step by step:
one llguidance grammar for the line with the tool's name, then one for the arguments of that tool. Where a step may
end, the next tool's line, a further argument and the end of the plan are allowed side by side; arguments begin with a
space and tools do not, so the token that is chosen says which grammar goes on.

Words of the user are spans of what was said. References are enumerated: exactly the results whose type fits, and a
tool whose input nothing has made yet is not offered (see `_offered`). `?` stands for an argument that the user did not
give.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assistant.llm import Grammar, Grammars, Tokenizer
from assistant.plugin.plan import MAX_STEPS
from assistant.plugin.signature import ToolSpec, Type

from .names import Argument, Tool, scalar
from .plantext import MISSING, STEP
from .text import Folded

MAX_ELEMENTS = 8  # of a list
NUMBERS = {"int": r"-?(0|[1-9][0-9]{0,8})", "float": r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?"}


@dataclass(frozen=True)
class PlanGrammar:
    """What all plans over one set of tools share. `tools` are by written name, `ends` the end-of-text tokens."""

    grammars: Grammars
    tokenizer: Tokenizer
    tools: Mapping[str, Tool]
    ends: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' own names, in the prompt's order."""
        return tuple(tool.spec.name for tool in self.tools.values())

    def start(self, said: Sequence[Folded], previous: Sequence[Type] = (), asks: bool = True) -> PlanConstraint:
        """The constraint of one plan: words may come from `said`, `^n` from results of the types `previous`. asks:
        whether a result may be asked for that an installed tool could make."""
        return PlanConstraint(self, tuple(s for s in said if s.has_words), tuple(previous), asks)

    def tool_line(self, results: Sequence[ToolSpec] = (), previous: Sequence[Type] = (),
                  asks: bool = True) -> Grammar | None:  # fmt: skip
        """The line that names a tool, or None when none can follow."""
        offered = [name for name, tool in self.tools.items() if self._offered(tool.spec, results, previous, asks)]
        names = " | ".join(_literal(f"{STEP} {name}\n") for name in sorted(offered))  # one grammar for all orders
        return self.grammars.lark(f"start: {names}\n") if names else None

    def makers(self, wanted: Type, spec: ToolSpec) -> list[ToolSpec]:
        """The other tools that make what `spec` wants."""
        return [t.spec for t in self.tools.values() if wanted.takes(t.spec.returns) and t.spec != spec]

    def _offered(self, spec: ToolSpec, results: Sequence[ToolSpec], previous: Sequence[Type], asks: bool) -> bool:
        """Whether a step may call the tool now. One that needs a result which is not there yet waits for the tool that
        makes it; only where that tool needs no words of the user may the result be asked for ("Which photos?")."""
        for p in spec.parameters:
            if p.required and not p.type.is_value and not references(p.type, results, previous):
                makers = self.makers(p.type, spec)
                if makers and not (asks and any(all(not q.required for q in m.parameters) for m in makers)):
                    return False
        return writable(spec)

    def arguments(self, tool: Tool, said: Sequence[Folded], results: Sequence[ToolSpec], previous: Sequence[Type]) \
            -> Grammar | None:  # fmt: skip
        """The argument lines of a tool, or None when it has no arguments that can be written."""
        rules: list[str] = []
        order: list[str] = []
        for name, argument in tool.arguments.items():
            values = self._values(argument, said, results, previous)
            line = f"{_literal(f' {name}: ')} ({values}) {_literal(chr(10))}" if values else ""
            rule = _repeated(line, argument, f"{_literal(f' {name}: {MISSING}' + chr(10))}")
            if rule:
                order.append(f"p{len(rules)}")
                rules.append(f"p{len(rules)}: {rule}")
        if not rules:
            return None
        text = "\n".join([f"start: {' '.join(order)}", *rules, *_spans(said)])
        return self.grammars.lark(text + "\n")

    def _values(self, argument: Argument, said: Sequence[Folded], results: Sequence[ToolSpec],
                previous: Sequence[Type]) -> str:  # fmt: skip
        """What may stand after the colon, or "" for nothing."""
        kind = scalar(argument.parameter.type)
        if not kind.is_value:
            return " | ".join(_literal(r) for r in references(argument.parameter.type, results, previous))
        if kind.choices:
            return " | ".join(_literal(choice) for choice in argument.choices)
        if kind.name in NUMBERS:
            return f"/{NUMBERS[kind.name]}/"
        if kind.name == "bool":
            return '"true" | "false"'
        return " | ".join(f"SPAN{i}" for i in range(len(said))) if kind.name in ("Spoken", "str") else ""


def writable(spec: ToolSpec) -> bool:
    """Whether a plan can hold a call of this tool: lists of lists of words have no form in it."""
    return not any(p.required and p.type.is_value and scalar(p.type).item for p in spec.parameters)


def references(wanted: Type, results: Sequence[ToolSpec], previous: Sequence[Type]) -> list[str]:
    """The references that a parameter of type `wanted` takes: earlier steps, their fields, the previous errand."""
    found = [f"${n}" for n, spec in enumerate(results, 1) if wanted.takes(spec.returns)]
    for n, spec in enumerate(results, 1):
        found += [f"${n}.{name}" for name, type_ in spec.fields if wanted.takes(Type.parse(type_))]
    return found + [f"^{n}" for n, type_ in enumerate(previous, 1) if wanted.takes(type_)]


def _repeated(line: str, argument: Argument, missing: str) -> str:
    """How often an argument's line stands there, and whether its value may be asked for."""
    p = argument.parameter
    kind = scalar(p.type)
    if kind.item and kind.is_value:
        return ""
    if line and p.type.item:
        line = f"({line}){{1,{MAX_ELEMENTS}}}"
    if p.required:
        return f"{line} | {missing}" if line else missing
    if kind.name == "Spoken":  # a message needs words or files: only the model can tell when to ask
        return f"({line} | {missing})?" if line else f"({missing})?"
    return f"({line})?" if line else ""


def _spans(said: Sequence[Folded]) -> list[str]:
    lines = []
    for i, folded in enumerate(said):
        lines += [f"SPAN{i}: WORDS{i} & {folded.terminal}", f"WORDS{i}: {folded.substring}"]
    return lines


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class PlanConstraint:
    """The state of one plan's decoding, as `assistant.llm.Constraint` wants it.

    It wants to see the end-of-text token too, so its request has no stop tokens.
    """

    def __init__(self, grammar: PlanGrammar, said: tuple[Folded, ...], previous: tuple[Type, ...], asks: bool) -> None:
        self._grammar = grammar
        self._asks = asks
        self._said = said
        self._previous = previous
        self._results: list[ToolSpec] = []
        self._written: list[int] = []  # tokens of the tool's line
        self._tool: Grammar | None = None
        self._tool_mask = np.zeros(0, np.uint32)
        self._arguments: Grammar | None = None
        self._open = False  # a step may end here: another one or the end of the plan may follow
        self._ended = False
        self._boundary()

    @property
    def done(self) -> bool:
        """True when the plan has ended and nothing more may follow."""
        return self._ended or (self._tool is None and self._arguments is None)

    def forced(self) -> list[int]:
        """Tokens without alternative."""
        if self._open:
            return []
        grammar = self._tool or self._arguments
        return grammar.forced() if grammar is not None else []

    def mask(self, out: np.ndarray) -> None:
        """Allow another argument, another step or the end, whichever may follow."""
        out[:] = 0
        if self._arguments is not None:
            self._arguments.mask(out)
        if self._tool is not None:
            self._tool_mask = np.zeros_like(out)
            self._tool.mask(self._tool_mask)
            out |= self._tool_mask
        for end in self._grammar.ends:
            bit = np.uint32(1 << (end % 32))
            out[end // 32] = out[end // 32] | bit if self._open else out[end // 32] & ~bit

    def consume(self, token: int) -> None:
        """Follow the token into the grammar that allows it."""
        if token in self._grammar.ends:
            self._ended = True
        elif self._tool is not None and (self._arguments is None or self._names_tool(token)):
            self._consume_tool(self._tool, token)
        elif self._arguments is not None:
            self._tool, self._open = None, False
            self._arguments.consume(token)
            if self._arguments.accepting:
                self._boundary()

    def _consume_tool(self, line: Grammar, token: int) -> None:
        self._arguments, self._open = None, False
        line.consume(token)
        self._written.append(token)
        if not line.accepting:
            return
        text = self._grammar.tokenizer.decode(self._written).strip()
        tool = self._grammar.tools[text.removeprefix(STEP).strip()]
        self._tool = None
        self._arguments = self._grammar.arguments(tool, self._said, self._results, self._previous)
        self._results.append(tool.spec)
        if self._arguments is None or self._arguments.accepting:
            self._boundary()

    def _names_tool(self, token: int) -> bool:
        return bool(self._tool_mask[token // 32] >> np.uint32(token % 32) & 1)

    def _boundary(self) -> None:
        """A step may end here."""
        if self._arguments is not None and self._arguments.done:
            self._arguments = None
        self._written = []
        more = len(self._results) < MAX_STEPS
        self._tool = self._grammar.tool_line(self._results, self._previous, self._asks) if more else None
        self._open = self._tool is not None or self._arguments is not None or not self._results
