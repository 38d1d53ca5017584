"""Accuracy on what was held out, without decoding: a plan is exact if every token of it is the most likely one."""

from __future__ import annotations

import json
from functools import partial
from random import Random

import jax
import numpy as np

from assistant.llm.config import ModelConfig
from assistant.llm.model import Params

from . import network
from .curriculum import BUILTIN, INVENTED
from .errands import DATA, HELD_OUT_DOMAINS, Domain, Template, builtin, domains, held_out, make_domain
from .packs import Encoder, Pack, Shape, pack_all
from .sentences import fill, finish, noisy


class HeldOut:
    """Held-out sets, packed once and measured often.

    lines: authored lines and slot words that were never trained; domains: whole domains that were not; test and unseen:
    the independent sets for built-in and for never seen tools, a part of each.
    """

    def __init__(self, encoder: Encoder, config: ModelConfig, most: int = 160):
        self.sets: dict[str, list[tuple[Shape, Pack]]] = {}
        ours = builtin()
        self._add(encoder, "lines", [_lines_held_out(ours)], BUILTIN, most, noise=0.5)
        self._add(encoder, "domains", [d for d in domains() if d.name in HELD_OUT_DOMAINS], INVENTED, most // 4, 0.3)
        test = DATA / "eval" / "builtin.jsonl"
        templates = [Template.from_json(json.loads(x)) for x in test.read_text("utf-8").splitlines() if x.strip()]
        self._add(encoder, "test", [Domain("test", ours.tools, tuple(templates))], BUILTIN, most)
        unseen = json.loads((DATA / "eval" / "unseen.json").read_text("utf-8"))
        self._add(encoder, "unseen", [make_domain(d["domain"], d) for d in unseen], INVENTED, most // 8)
        self._right = {s: jax.jit(partial(network.right, config=config, shape=s)) for s in (BUILTIN, INVENTED)}

    def _add(
        self, encoder: Encoder, name: str, sources: list[Domain], shape: Shape, most: int, noise: float = 0
    ) -> None:
        kept = self.sets.setdefault(name, [])
        for source in sources:
            rng = Random(name)
            domain = source.spelled()
            templates = list(domain.templates)
            rng.shuffle(templates)
            sentences = [fill(t, rng, evaluation=True) for t in templates[:most]]
            examples = [finish(noisy(s, rng) if rng.random() < noise else s) for s in sentences]
            pack_all(encoder, domain.tools, examples, shape, lambda p: kept.append((shape, p)))

    def measure(self, params: Params) -> dict[str, float]:
        """Share of exact plans in each set."""
        shares = {}
        for name, packs in self.sets.items():
            found: list[bool] = []
            for shape, pack in packs:
                rights = np.asarray(self._right[shape](params, data=network.batch([pack])))
                found += network.exact(rights[0], pack.owners)
            shares[name] = round(float(np.mean(found)), 4)
        return shares


def _lines_held_out(domain: Domain) -> Domain:
    return Domain(domain.name, domain.tools, tuple(t for t in domain.templates if held_out(t.say)))
