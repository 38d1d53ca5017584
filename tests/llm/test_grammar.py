"""Grammars: fuzzed schemas with random logits, forced tokens, spans, errors, and what a mask costs."""

import json
import re
import shutil
import time

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from assistant.llm import BadGrammar, Engine, Request, Tokenizer, load
from assistant.llm.grammar import Grammars

from .conftest import VOCAB, write_tokenizer

words = st.sampled_from(["alpha", "beta", "count", "to", "photos", "when", "ünïcode", 'quo"te'])
leaves = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.fixed_dictionaries({"type": st.just("integer"), "minimum": st.integers(-50, 0), "maximum": st.integers(0, 500)}),
    st.fixed_dictionaries({"type": st.just("number"), "minimum": st.just(0), "maximum": st.integers(1, 9)}),
    st.fixed_dictionaries({"type": st.just("string"), "maxLength": st.integers(0, 12)}),
    st.fixed_dictionaries({"enum": st.lists(words, min_size=1, max_size=4, unique=True)}),
    st.fixed_dictionaries({"const": st.one_of(words, st.integers(-3, 3), st.none())}),
    st.fixed_dictionaries({"type": st.just("string"), "pattern": st.sampled_from(["^[a-c]{1,3}$", "^\\d\\d:\\d\\d$"])}),
)


def nested(inner):
    arrays = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner, "minItems": st.integers(0, 1), "maxItems": st.integers(1, 3)}
    )
    properties = st.dictionaries(words, inner, max_size=3)
    objects = st.builds(
        lambda p, n: {"type": "object", "properties": p, "required": sorted(p)[:n], "additionalProperties": False},
        properties,
        st.integers(0, 3),
    )
    return st.one_of(arrays, objects, st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}))


schemas = st.recursive(leaves, nested, max_leaves=6)


@pytest.fixture(scope="module")
def grammars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    tokenizer = Tokenizer(folder)
    return tokenizer, Grammars(tokenizer, VOCAB, [0])


@pytest.fixture(scope="module")
def engine(chatty):
    with Engine(load(chatty), slots=2, length=256, sizes=(1, 8, 32)) as engine:
        engine.warm_up()
        yield engine


def draw(tokenizer, grammar, random, limit=400):
    """Random logits: any allowed token is as likely as any other. Returns the text and the seconds spent per token."""
    mask, tokens, spent = np.zeros(VOCAB // 32, np.uint32), [], 0.0
    while not grammar.done and len(tokens) < limit:
        begin = time.thread_time()
        forced = grammar.forced()
        if forced:
            for token in forced:
                grammar.consume(token)
        else:
            grammar.mask(mask)
        spent += time.thread_time() - begin
        if forced:
            tokens += forced
            continue
        allowed = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
        assert allowed.size and allowed.max() < tokenizer.size
        token = int(random.choice(allowed))
        if token == 0:
            return tokenizer.decode(tokens), spent / max(1, len(tokens))
        grammar.consume(token)
        tokens.append(token)
    return (tokenizer.decode(tokens), spent / max(1, len(tokens))) if grammar.done else (None, 0.0)


def test_random_logits_under_fuzzed_schemas_always_parse_and_validate(grammars):
    tokenizer, make = grammars
    random, costs, checked = np.random.default_rng(0), [], 0

    @seed(1)
    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(schemas)
    def run(schema):
        nonlocal checked
        text, cost = draw(tokenizer, make.json_schema(schema), random)
        if text is not None:  # None: a number or string that random digits never end within the limit
            jsonschema.validate(json.loads(text), schema)
            costs.append(cost)
            checked += 1

    run()
    assert checked >= 475
    print(f"{checked} schemas, {np.mean(costs) * 1e6:.0f} µs per token")


def test_greedy_text_with_jump_forward_equals_that_without(engine):
    class Plain:
        """The same grammar, but nothing is forced: every token costs a forward pass."""

        def __init__(self, grammar):
            self.done_, self.grammar = False, grammar

        done = property(lambda self: self.grammar.done)

        def forced(self):
            return []

        def mask(self, out):
            self.grammar.mask(out)

        def consume(self, token):
            self.grammar.consume(token)

    step = {
        "type": "object",
        "properties": {
            "tool": {"enum": ["photos.select", "messages.send"]},
            "args": {
                "type": "object",
                "properties": {"count": {"type": "integer", "minimum": 1, "maximum": 99}},
                "required": ["count"],
                "additionalProperties": False,
            },
        },
        "required": ["tool", "args"],
        "additionalProperties": False,
    }
    schema = {"type": "object", "properties": {"steps": {"type": "array", "items": step, "minItems": 3, "maxItems": 3}}}
    schema |= {"required": ["steps"], "additionalProperties": False}
    grammar = engine.model.grammars.json_schema(schema)
    for prompt in ("send the five newest photos to Alice", "newest", "the photos"):
        jump = engine.generate(Request(prompt, constraint=grammar.copy(), max_tokens=200))
        plain = engine.generate(Request(prompt, constraint=Plain(grammar.copy()), max_tokens=200))
        assert jump.text == plain.text and jump.ids == plain.ids
        assert jump.forwards < len(jump.tokens) / 2 < plain.forwards
        jsonschema.validate(json.loads(jump.text), schema)


def test_regular_expressions_and_spans_of_a_given_text(grammars):
    tokenizer, make = grammars
    random = np.random.default_rng(1)
    for _ in range(20):
        text, _ = draw(tokenizer, make.regex("[a-f]{2,4}-[0-9]+!"), random)
        assert text is None or re.fullmatch("[a-f]{2,4}-[0-9]+!", text)
    said = "send the five newest photos to Alice"
    lark = f'start: "<" SPAN ">"\nSPAN: %regex {json.dumps({"substring_words": said})}'
    for _ in range(20):
        text, _ = draw(tokenizer, make.lark(lark), random)
        assert text[0] == "<" and text[-1] == ">" and text[1:-1] in said


def test_what_the_library_rejects_is_an_error_to_that_caller_alone(engine):
    make = engine.model.grammars
    for call in (
        lambda: make.lark("start: missing"),
        lambda: make.regex("(unclosed"),
        lambda: make.json_schema({"type": "no such type"}),
        lambda: make.json_schema("{not json"),
        lambda: make.json_schema({"$ref": "#/nowhere"}),
    ):
        with pytest.raises(BadGrammar):
            call()
    assert engine.generate(Request("x", constraint=make.regex("ab"))).text == "ab"


def test_an_unsatisfiable_schema_ends_with_an_error_not_a_hang(engine):
    with pytest.raises((BadGrammar, ValueError)):
        schema = {"type": "string", "pattern": "^a$", "minLength": 5}
        engine.generate(Request("x", constraint=engine.model.grammars.json_schema(schema), max_tokens=20), timeout=60)


def test_added_tokens_beyond_the_models_rows_are_left_out(chatty, tmp_path):
    folder = shutil.copytree(chatty, tmp_path / "gemma")  # as the checkpoints of Gemma 3 for text are
    file = folder / "tokenizer.json"
    data = json.loads(file.read_text())
    names = [*(f"<unused{i}>" for i in range(Tokenizer(folder).size, VOCAB)), "<image_soft_token>"]
    first = VOCAB + 1 - len(names)
    data["added_tokens"] += [{**data["added_tokens"][0], "id": first + i, "content": n} for i, n in enumerate(names)]
    file.write_text(json.dumps(data))
    with Engine(load(folder), slots=1, length=64, sizes=(1, 8)) as engine:
        tokenizer = engine.model.tokenizer
        assert tokenizer.size == VOCAB + 1 and tokenizer.encode("<image_soft_token>") == [VOCAB]
        assert engine.generate(Request("see", constraint=engine.model.grammars.regex("ab|cd"))).text in ("ab", "cd")
        with pytest.raises(ValueError, match=f"does not know token {VOCAB}"):
            engine.submit(Request("see <image_soft_token>"))


def test_a_model_without_rows_for_ordinary_tokens_is_refused(grammars):
    with pytest.raises(BadGrammar, match="does not fit a model of 64 tokens"):
        Grammars(grammars[0], 64, [0])


def test_masks_are_cheap(grammars):
    tokenizer, make = grammars
    schema = {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 5, "maxItems": 5}
    random = np.random.default_rng(2)
    costs = [cost for text, cost in (draw(tokenizer, make.json_schema(schema), random) for _ in range(10)) if text]
    assert min(costs) < 400e-6  # the goal of 100 µs is measured by the benchmark; this guards against a slip of scale
