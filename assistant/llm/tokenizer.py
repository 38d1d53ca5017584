"""A checkpoint's tokenizer: the fast `tokenizers` library for text, `transformers` only for chat templates."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

_REPLACEMENT = "\ufffd"


class Tokenizer:
    """Text ↔ token ids of one checkpoint folder (`tokenizer.json`)."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.file = self.folder / "tokenizer.json"
        if not self.file.exists():
            raise FileNotFoundError(f"{self.file} is missing; without it the model can be served by token ids alone")
        self._fast = FastTokenizer.from_file(str(self.file))
        self._fast.no_padding()
        self._fast.no_truncation()
        added = max(self._fast.get_added_tokens_decoder(), default=-1)
        self.size = max(self._fast.get_vocab_size(with_added_tokens=False), added + 1)  # one more than the highest id

    def within(self, rows: int) -> str:
        """`tokenizer.json` without the tokens beyond a model's `rows`, which it can neither read nor write."""
        data = json.loads(self.file.read_text(encoding="utf-8"))
        data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < rows]
        return json.dumps(data)

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Token ids; `special` adds the beginning-of-text token and the like that the checkpoint asks for."""
        return self._fast.encode(text, add_special_tokens=special).ids

    def decode(self, tokens: list[int], skip_special: bool = True) -> str:
        """Text of the tokens; incomplete UTF-8 becomes U+FFFD."""
        return self._fast.decode(tokens, skip_special_tokens=skip_special)

    def token_id(self, token: str) -> int | None:
        """The id of a token by its name, for example `<|im_end|>`."""
        return self._fast.token_to_id(token)

    def normalise(self, text: str) -> str:
        """The text as the tokenizer reads it before splitting (lower-cased, composed … as the checkpoint says)."""
        normaliser = self._fast.normalizer
        return text if normaliser is None else normaliser.normalize_str(text)

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """Tokens such as `<|im_end|>` that mean something else than their letters."""
        return tuple(token.content for token in self._fast.get_added_tokens_decoder().values() if token.special)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """`tokenizer_config.json`, or empty."""
        file = self.folder / "tokenizer_config.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    @property
    def template(self) -> str:
        """The chat template's source; `ValueError` when the checkpoint has none."""
        template = self._chat.chat_template
        return template if isinstance(template, str) else "\n".join(template.values())

    @cached_property
    def _chat(self) -> Any:
        from transformers import AutoTokenizer  # seconds to import, so only when a chat is rendered

        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        if not tokenizer.chat_template:
            raise ValueError(f"{self.folder} has no chat template; send a prompt instead of messages")
        return tokenizer

    def chat(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[int]:
        """The prompt of a conversation through the checkpoint's own chat template, ready for the assistant's turn."""
        text = self._chat.apply_chat_template(messages, tools=tools, add_generation_prompt=True, tokenize=False)
        return self.encode(text)


class TextStream:
    """Turns tokens into text piece by piece, holding back incomplete characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._start = 0  # of the window that is decoded anew; keeps the cost per token constant
        self._whole = 0  # tokens whose text is given out; a window may begin there, never inside a character
        self._sent = ""

    def push(self, token: int) -> str:
        """The text that this token completes, possibly empty."""
        self._tokens.append(token)
        text = self._tokenizer.decode(self._tokens[self._start :])
        if text.endswith(_REPLACEMENT):
            return ""
        piece, self._sent = text[len(self._sent) :], text
        if piece and len(self._tokens) - self._start > 32:
            self._start = self._whole
            self._sent = self._tokenizer.decode(self._tokens[self._start :])
        self._whole = len(self._tokens)
        return piece

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        return self._tokenizer.decode(self._tokens[self._start :])[len(self._sent) :]
