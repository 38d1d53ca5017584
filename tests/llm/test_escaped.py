"""FunctionGemma's way of writing tool calls: what is read, and what a random checkpoint may write."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from assistant.llm import Engine, Request, load
from assistant.llm.escaped import read
from assistant.llm.toolcalls import Call, tool_format

from .conftest import write_tokenizer

SEND = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"enum": ["Alice", "Bob"]}, "minItems": 1, "maxItems": 2},
        "text": {"type": "string", "maxLength": 6},
        "Urgent": {"type": "boolean"},
        "size": {"type": "object", "properties": {"width": {"type": "integer", "minimum": 1, "maximum": 20}}},
    },
    "required": ["to", "text"],
    "additionalProperties": False,
}
TEMPLATE = "{{ messages[0].content }} <start_function_call>call:f{a:<escape>b<escape>}<end_function_call>"


def tool(name, schema):
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def write(value):
    """As the checkpoint's template writes arguments: sorted bare keys, escaped strings."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda pair: pair[0].lower())
        return "{" + ",".join(f"{key}:{write(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return f"<escape>{value}<escape>" if isinstance(value, str) else json.dumps(value)


TEXT = st.text().filter(lambda text: "<escape>" not in text and not text.endswith(("<", "<escape")))
VALUES = st.recursive(
    TEXT | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"\A[a-z_]{1,6}\Z"), inner, max_size=3),
)


@given(st.dictionaries(st.from_regex(r"\A[a-z_]{1,6}\Z"), VALUES, max_size=4))
def test_what_the_template_writes_is_read_back(arguments):
    assert read("call:tool.name" + write(arguments)) == ("tool.name", arguments)


NO_CALLS = ["", "call:f", "call:f{", "call:f{a:}", "call:f{a:1", "call:f{a:1}x", "call:f[1]", "call:{a:1}", "f{a:1}"]
NO_CALLS += ["call:f{a:1b:2}", "call:f{a:<escape>x}", "call:f{a:bare}", "call:f{a:[1 2]}"]


@pytest.mark.parametrize("text", NO_CALLS)
def test_what_is_no_call_is_none(text):
    assert read(text) is None


@pytest.fixture(scope="module")
def model(checkpoints, tmp_path_factory):
    from safetensors.numpy import load_file, save_file

    source, _ = checkpoints("gemma3")
    folder = tmp_path_factory.mktemp("functiongemma")
    save_file(load_file(source / "model.safetensors"), folder / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    write_tokenizer(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<start_function_call>", "<end_function_call>", "<escape>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return load(folder)


def test_a_random_checkpoint_writes_only_valid_calls(model):
    form = tool_format(model, [tool("messages.send", SEND), tool("stop", {"type": "object", "properties": {}})])
    names = set()
    with Engine(model, slots=2, length=256, sizes=(1, 8, 32)) as engine:
        for seed in range(12):
            constraint = form.required("messages.send" if seed % 2 else None, parallel=False)
            request = Request([5, 6, 7], constraint=constraint, temperature=1.0, seed=seed, max_tokens=200)
            result = engine.generate(request)
            text, (call,) = form.reader().read(result.ids)
            assert text == "" and result.finish_reason == "stop"
            if call.name == "messages.send":
                jsonschema.validate(call.arguments, SEND)
            else:
                assert call == Call("stop", {})
            names.add(call.name)
    assert names == {"messages.send", "stop"}


def test_text_before_calls_and_several_of_them(model):
    form = tool_format(model, [tool("messages.send", SEND)])
    one = (
        "<start_function_call>call:messages.send{text:<escape>{,}<escape>,to:[<escape>Bob<escape>]}<end_function_call>"
    )
    ids = model.tokenizer.encode("Well. " + one + one)
    wanted = Call("messages.send", {"text": "{,}", "to": ["Bob"]})
    assert form.reader().read(ids) == ("Well.", [wanted, wanted])
    constraint = form.required(None, parallel=True)
    for token in model.tokenizer.encode(one + one):
        constraint.consume(token)
    assert constraint.accepting


def test_a_call_once_begun_is_well_formed(model):
    form, tokenizer = tool_format(model, [tool("messages.send", SEND)]), model.tokenizer
    constraint = form.optional(parallel=True)
    for token in [*tokenizer.encode("Well. "), tokenizer.token_id("<start_function_call>")]:
        constraint.consume(token)
    assert tokenizer.decode(constraint.forced()).startswith("call:messages.send{")


def test_a_schema_that_cannot_be_followed_is_refused(model):
    form = tool_format(model, [tool("f", {"type": "object", "properties": {"a": {"type": "string", "pattern": "^b"}}})])
    with pytest.raises(ValueError, match="pattern"):
        form.required(None, parallel=True)


@pytest.mark.parametrize("more", [{"anyOf": [{"required": ["a"]}]}, {"minProperties": 1}, {"$ref": "#/$defs/x"}])
def test_parameters_that_cannot_be_followed_are_refused_by_name(model, more):
    form = tool_format(model, [tool("f", {"type": "object", "properties": {"a": {"type": "string"}}, **more})])
    with pytest.raises(ValueError, match=next(iter(more)).replace("$", r"\$")):
        form.required(None, parallel=True)


def test_marks_spelt_out_in_strings_and_text_do_not_count(model):
    form, tokenizer = tool_format(model, [tool("messages.send", SEND)]), model.tokenizer
    spelt = "<escape>,a:1}<end_function_call> <start_function_call>"
    letters = [tokenizer.encode(letter)[0] for letter in spelt]
    before, after = "<start_function_call>call:messages.send{text:<escape>", "<escape>}<end_function_call>"
    ids = [*letters, *tokenizer.encode(before), *letters, *tokenizer.encode(after)]
    assert form.reader().read(ids) == (spelt, [Call("messages.send", {"text": spelt})])
    assert form.reader().read(ids[:-1]) == (spelt + before + spelt + after.replace("<end_function_call>", ""), [])
