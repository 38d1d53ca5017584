"""A language model that says which of PocketSphinx's hypotheses people would say.

A small network in the layout of Qwen3 (Hugging Face names), trained by `assistant.training.hearing` and run here with
numpy, since the recogniser's process needs neither JAX nor its memory for so little.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from .types import Word

# Weights of what a hypothesis is judged by, fitted on 30 usual commands by three synthetic voices; the trigrams add
# nothing to them.
SEARCH, SENTENCE, WORD = 100.0, 0.8, 0.5
SHIPPED = Path(__file__).parents[1] / "models" / "hearing"
END = 1  # the token before and after every sentence


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What may have been said. general: the text with the user's own names exchanged for one that everybody knows;
    score: of PocketSphinx's search; tokens: as it wrote them."""

    text: str
    general: str
    score: float
    tokens: tuple[str, ...] = ()


class Rescorer:
    """The model in a folder: `config.json`, `model.safetensors` (float16), `tokenizer.json`."""

    def __init__(self, folder: Path = SHIPPED) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._config = json.loads((folder / "config.json").read_text("utf-8"))
        tensors = load_file(folder / "model.safetensors")
        self._weights = {name.removeprefix("model."): w.astype(np.float32) for name, w in tensors.items()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def best(self, hypotheses: Sequence[Hypothesis]) -> tuple[Hypothesis, float, float]:
        """The best one, this model's log probability of a word of it, and its share of the probability of all."""
        features = np.array([(h.score, len(h.text.split())) for h in hypotheses])
        likely = self.score([h.general for h in hypotheses])
        total = features @ np.array([SEARCH, WORD]) + SENTENCE * likely
        i = int(np.argmax(total))
        words = len(hypotheses[i].general.split()) + 1
        return hypotheses[i], float(likely[i]) / words, float(np.exp(total[i] - _log_sum_exp(total)))

    def score(self, sentences: Sequence[str]) -> np.ndarray:
        """Natural log probability `[N]` of each sentence, its end included."""
        if not sentences:
            return np.zeros(0)
        ids = [[END, *self._tokenizer.encode(" " + s, add_special_tokens=False).ids, END] for s in sentences]
        lengths = np.array([len(i) for i in ids])
        tokens = np.full((len(ids), lengths.max(initial=2)), END)
        for row, i in zip(tokens, ids, strict=True):
            row[: len(i)] = i
        hidden = self._forward(tokens[:, :-1])
        real = np.arange(tokens.shape[1] - 1) < lengths[:, None] - 1
        logits = hidden[real] @ self._weights["embed_tokens.weight"].T
        labels = tokens[:, 1:][real]
        likely = logits[np.arange(len(labels)), labels] - _log_sum_exp(logits)
        return np.bincount(np.nonzero(real)[0], weights=likely, minlength=len(ids))

    def _forward(self, tokens: np.ndarray) -> np.ndarray:
        """`tokens[N, T]` → hidden states `[N, T, hidden]` after the last norm."""
        w = self._weights
        rotation = self._rotation(tokens.shape[1])
        x = w["embed_tokens.weight"][tokens]
        for i in range(self._config["num_hidden_layers"]):
            layer = f"layers.{i}."
            x = x + self._attention(layer, self._norm(x, layer + "input_layernorm"), rotation)
            h = self._norm(x, layer + "post_attention_layernorm")
            gate = h @ w[layer + "mlp.gate_proj.weight"].T
            inner = gate / (1 + np.exp(-np.maximum(gate, -80))) * (h @ w[layer + "mlp.up_proj.weight"].T)
            x = x + inner @ w[layer + "mlp.down_proj.weight"].T
        return self._norm(x, "norm")

    def _attention(self, layer: str, h: np.ndarray, rotation: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        n, length, _ = h.shape
        dim = self._config["head_dim"]

        def heads(name: str) -> np.ndarray:  # → [N, heads, T, dim]
            y = h @ self._weights[f"{layer}self_attn.{name}_proj.weight"].T
            return y.reshape(n, length, -1, dim).swapaxes(1, 2)

        q = _rotated(self._norm(heads("q"), layer + "self_attn.q_norm"), rotation)
        k = _rotated(self._norm(heads("k"), layer + "self_attn.k_norm"), rotation)
        group = q.shape[1] // k.shape[1]
        k, v = (np.repeat(y, group, axis=1) for y in (k, heads("v")))
        scores = q @ k.swapaxes(2, 3) / np.sqrt(dim)
        scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
        weights = np.exp(scores - _log_sum_exp(scores)[..., None])
        out = (weights @ v).swapaxes(1, 2).reshape(n, length, -1)
        return out @ self._weights[layer + "self_attn.o_proj.weight"].T

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self._config["rms_norm_eps"]) * self._weights[name + ".weight"]

    def _rotation(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        dim, theta = self._config["head_dim"], self._config["rope_parameters"]["rope_theta"]
        angles = np.outer(np.arange(length), theta ** (-np.arange(0, dim, 2) / dim)).astype(np.float32)
        return np.cos(angles), np.sin(angles)


def chosen(text: str, heard: Sequence[Word], certain: float) -> tuple[Word, ...]:
    """The words of `text` with the times of those `heard`: what is the same keeps its own; what is not shares the time
    of what stood in its place, and is as certain as the whole text."""
    words = text.split()
    out: list[Word] = []
    matcher = SequenceMatcher(None, [w.word for w in heard], words, autojunk=False)
    for kind, i, j, a, b in matcher.get_opcodes():
        if kind == "equal":
            out += heard[i:j]
            continue
        start = heard[i].start if i < j else out[-1].end if out else heard[0].start
        end = heard[j - 1].end if i < j else start
        times = np.linspace(start, end, b - a + 1)
        out += [
            Word(word, round(float(t), 2), round(float(u), 2), round(min(certain, 1.0), 3))
            for word, t, u in zip(words[a:b], times, times[1:], strict=False)
        ]
    return tuple(out)


def _rotated(x: np.ndarray, rotation: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    (cos, sin), (a, b) = rotation, np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _log_sum_exp(x: np.ndarray) -> np.ndarray:
    top = x.max(axis=-1)
    return top + np.log(np.exp(x - top[..., None]).sum(axis=-1))
