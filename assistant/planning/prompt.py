"""The prompt: the checkpoint's own chat template over the tools, the session's last errand and what the user says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assistant.llm import Tokenizer

from .names import Tool

# Checkpoints that were not trained for plans need to be told; the shipped template leaves system messages out.
INSTRUCTIONS = """You turn what the user says into a plan of tool calls. Write nothing but the plan.
A line "> name" calls a tool. Each argument follows on a line of its own that begins with a space: " name: value".
A list repeats the line for each element. Steps stand in the order in which they run.
Words of the user are copied exactly as they were said. "$2" is the result of step 2, "^1" the result of step 1 of the
user's previous errand. Leave out arguments that the user did not mention. "?" stands for a required argument that the
user did not give. If no tool serves the request, write an empty plan.

Example, for "take my 3 newest files to Ada":
> files.find
 count: 3
> files.send
 files: $1
 to: Ada"""


def messages(text: str, earlier: tuple[str, str] | None = None) -> list[dict[str, str]]:
    """The conversation. `earlier` is what was said before, and its plan as text."""
    turns = [{"role": "system", "content": INSTRUCTIONS}]
    if earlier is not None:
        turns += [{"role": "user", "content": earlier[0]}, {"role": "assistant", "content": earlier[1]}]
    return [*turns, {"role": "user", "content": text}]


def render(tokenizer: Tokenizer, tools: Sequence[Tool], text: str, earlier: tuple[str, str] | None = None) -> list[int]:
    """Token ids of the prompt."""
    return tokenizer.chat(messages(text, earlier), [schema(tool) for tool in tools])


def schema(tool: Tool) -> dict[str, Any]:
    """The tool in the form that chat templates take."""
    return tool.shown.schema()


def shared(tokenizer: Tokenizer, tools: Sequence[Tool]) -> list[int]:
    """The beginning that all prompts over these tools have in common: nothing of the user and no clock is in it."""
    one, other = (render(tokenizer, tools, text) for text in ("make a gif", "9 photos"))
    length = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[:length]
