"""The OpenAI-compatible surface, driven by the official client over a real socket."""

import json
import shutil
import threading
import time

import httpx
import numpy as np
import openai as client_library
import pytest
import uvicorn
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from assistant.llm import Engine, Request, Result, Stream, Token, load, openai
from assistant.llm.toolcalls import Call, tool_format

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "",
            "parameters": {
                "type": "object",
                "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 99}},
                "required": ["count"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("photos", "mail")
]
ASK = [{"role": "user", "content": "send the five newest photos to Alice"}]


def serve(engine):
    config = uvicorn.Config(openai.application(engine), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    return server, thread, client_library.OpenAI(base_url=f"http://127.0.0.1:{port}", api_key="x", max_retries=0)


@pytest.fixture(scope="module")
def engine(chatty):
    with Engine(load(chatty), slots=2, length=256, sizes=(1, 8, 64)) as engine:
        engine.warm_up()
        yield engine


@pytest.fixture(scope="module")
def client(engine):
    server, thread, client = serve(engine)
    yield client
    server.should_exit = True
    thread.join(10)


def ask(client, engine, **more):
    settings = {"messages": ASK, "max_tokens": 60, "temperature": 0, **more}
    return client.chat.completions.create(model=engine.model.name, **settings)


def test_models(client, engine):
    assert [model.id for model in client.models.list()] == [engine.model.name]


def test_a_chat_and_its_usage(client, engine):
    first = ask(client, engine, max_tokens=12)
    again = ask(client, engine, max_tokens=12)
    assert first.choices[0].message.role == "assistant" and first.choices[0].message.content
    assert first.choices[0].message.content == again.choices[0].message.content
    usage = again.usage
    assert usage.completion_tokens == 12 and usage.total_tokens == usage.prompt_tokens + 12
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1  # the prefix cache
    assert again.choices[0].finish_reason == "length"


def test_streaming_gives_the_same_text(client, engine):
    whole = ask(client, engine).choices[0].message.content
    chunks = list(ask(client, engine, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[-2].choices[0].finish_reason == "length" and chunks[-1].usage.completion_tokens == 60
    assert len(chunks) > 20  # piece by piece


def test_stop_strings_never_show_even_in_part(client, engine):
    whole = ask(client, engine).choices[0].message.content
    stop = whole[10:13]
    cut = ask(client, engine, stop=stop)
    streamed = "".join(c.choices[0].delta.content or "" for c in ask(client, engine, stop=[stop], stream=True))
    assert cut.choices[0].message.content == streamed == whole[: whole.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


def test_log_probabilities(client, engine):
    answer = ask(client, engine, max_tokens=5, logprobs=True, top_logprobs=3).choices[0]
    assert len(answer.logprobs.content) == 5
    for token in answer.logprobs.content:
        assert token.token == token.top_logprobs[0].token and len(token.top_logprobs) == 3
        assert token.logprob == token.top_logprobs[0].logprob >= token.top_logprobs[2].logprob
    streamed = ask(client, engine, max_tokens=5, logprobs=True, stream=True)
    pieces = [t.logprob for c in streamed if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert pieces == pytest.approx([token.logprob for token in answer.logprobs.content], abs=1e-4)


def test_json_schema(client, engine):
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}, "to": {"enum": ["Alice", "Bob"]}}}
    schema |= {"required": ["n", "to"], "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for seed in range(3):
        answer = ask(client, engine, response_format=form, temperature=2.0, seed=seed).choices[0]
        data = json.loads(answer.message.content)
        assert data["n"] in (1, 2) and data["to"] in ("Alice", "Bob") and answer.finish_reason == "stop"


def test_required_tool_calls(client, engine):
    for seed in range(3):
        answer = ask(
            client, engine, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, temperature=1.5, seed=seed
        )
        (call,) = answer.choices[0].message.tool_calls
        assert call.function.name in ("photos", "mail") and 0 <= json.loads(call.function.arguments)["count"] <= 99
        assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None


def test_a_named_tool_is_called_and_streams(client, engine):
    choice = {"type": "function", "function": {"name": "mail"}}
    chunks = list(ask(client, engine, tools=TOOLS, tool_choice=choice, stream=True))
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    assert [call.function.name for call in calls] == ["mail"] and set(json.loads(calls[0].function.arguments)) == {
        "count"
    }
    assert not any(c.choices[0].delta.content for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_conversations_with_earlier_calls_are_rendered(client, engine):
    call = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": '{"count": 3}'}}
    messages = [*ASK, {"role": "assistant", "content": None, "tool_calls": [call]}]
    messages.append({"role": "tool", "tool_call_id": "c1", "content": "done"})
    answer = client.chat.completions.create(model=engine.model.name, messages=messages, tools=TOOLS, max_tokens=3)
    assert answer.usage.completion_tokens <= 3


def test_optional_calls_are_well_formed_once_begun(engine):
    form = tool_format(engine.model, TOOLS)
    constraint, tokenizer = form.optional(parallel=True), engine.model.tokenizer
    text = "Sure. "
    for token in tokenizer.encode(text):
        constraint.consume(token)
        assert constraint.forced() == []
    constraint.consume(tokenizer.token_id("<tool_call>"))
    forced = []
    while step := constraint.forced():
        forced += step
        for token in step:
            constraint.consume(token)
    assert tokenizer.decode(forced) == '\n{"name": "'
    body = '\n{"name": "mail", "arguments": {"count": 7}}\n'
    ids = [*tokenizer.encode(text), tokenizer.token_id("<tool_call>"), *tokenizer.encode(body)]
    for token in tokenizer.encode(body)[len(forced) :]:
        constraint.consume(token)
    constraint.consume(tokenizer.token_id("</tool_call>"))
    assert constraint.forced() == []  # free again
    ids.append(tokenizer.token_id("</tool_call>"))
    assert form.reader().read(ids) == ("Sure.", [Call("mail", {"count": 7})])


def test_several_choices(client, engine):
    answer = ask(client, engine, n=3, temperature=1.5, seed=1, max_tokens=10)
    assert len({choice.message.content for choice in answer.choices}) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": 9}, "temperature"),
        ({"messages": []}, "messages"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nope"}}}},
            "nope",
        ),
        ({"tool_choice": "required"}, "no tools"),
        ({"messages": [{"role": "user", "content": "photos " * 300}]}, "at most 255 fit"),
        ({"frequency_penalty": 1.0}, "frequency_penalty"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "only text"),
    ],
)
def test_bad_requests_get_clear_errors_and_the_service_goes_on(client, engine, change, words):
    with pytest.raises(client_library.BadRequestError, match=words):
        ask(client, engine, **change)
    assert ask(client, engine, max_tokens=2).usage.completion_tokens <= 2


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(client_library.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-4", messages=ASK)


def test_bare_json_calls_for_templates_without_marks(chatty, tmp_path, engine):
    folder = tmp_path / "bare"
    shutil.copytree(chatty, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = '{{ messages[0].content }} Answer with {"name": …, "parameters": …}.'
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with Engine(load(folder), slots=2, length=256, sizes=(1, 8, 64)) as bare:
        server, thread, client = serve(bare)
        answer = ask(client, bare, tools=TOOLS, tool_choice="required")
        chunks = list(ask(client, bare, tools=TOOLS, tool_choice="required", stream=True))
        server.should_exit = True
        thread.join(10)
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name in ("photos", "mail") and "count" in json.loads(call.function.arguments)
    assert not any(c.choices[0].delta.content for c in chunks)


@pytest.mark.parametrize("body", [
    {"messages": [{"role": "user", "content": ["x"]}]},
    {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]},
    {"messages": ASK, "tools": TOOLS, "tool_choice": {"type": "function"}},
    {"messages": ASK, "tools": [{"type": "function", "function": {}}]},
    {"messages": ASK, "response_format": {"type": "json_schema", "json_schema": "x"}},
    {"messages": ASK, "top_k": 3_000_000_000},
    {"messages": ASK, "stop": [""]},
    {"messages": "x"},
])  # fmt: skip
def test_a_body_of_the_wrong_form_is_the_callers_fault(client, engine, body):
    answer = httpx.post(f"{str(client.base_url).rstrip('/')}/chat/completions", json={"max_tokens": 2, **body})
    assert answer.status_code == 400 and answer.json()["error"]["message"], answer.text
    assert engine.alive and engine.generate(Request([1], max_tokens=1)).ids


def test_nesting_beyond_reason_is_the_callers_fault(client):
    answer = httpx.post(f"{str(client.base_url).rstrip('/')}/chat/completions", content="[" * 200_000)
    assert answer.status_code == 400


def test_a_tool_may_lack_parameters(client, engine):
    bare = [{"type": "function", "function": {"name": "ping"}}]
    answer = ask(client, engine, tools=bare, tool_choice="required", parallel_tool_calls=False)
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("ping", {})


def test_schemas_of_tools_may_refer_to_their_own_parts(client, engine):
    """As pydantic writes nested models: `$defs` at the root of each tool's schema."""
    one = {"$defs": {"Size": {"enum": ["small"]}}, "type": "object", "properties": {"size": {"$ref": "#/$defs/Size"}},
           "required": ["size"], "additionalProperties": False}  # fmt: skip
    two = {**one, "$defs": {"Size": {"enum": [7]}}}
    tools = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in (("größer", one), ("two", two))]
    for name, size in (("größer", "small"), ("two", 7)):
        choice = {"type": "function", "function": {"name": name}}
        [call] = ask(client, engine, tools=tools, tool_choice=choice).choices[0].message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == (name, {"size": size})
    answer = ask(client, engine, tools=tools, tool_choice="required", parallel_tool_calls=False)
    [call] = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["size"] == {"größer": "small", "two": 7}[call.function.name]


def test_a_field_that_is_null_or_empty_is_one_that_was_left_out(client, engine):
    function = {"name": "ping", "description": None, "parameters": None, "strict": None}
    names = ("n", "stream", "temperature", "top_p", "logprobs", "parallel_tool_calls", "presence_penalty")
    body = {"messages": ASK, "max_tokens": 3, "tools": [{"type": "function", "function": function}],
            "logit_bias": {}, "frequency_penalty": 0.0, "tool_choice": None, **dict.fromkeys(names)}  # fmt: skip
    answer = httpx.post(f"{str(client.base_url).rstrip('/')}/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    answer = httpx.post(f"{str(client.base_url).rstrip('/')}/chat/completions", json={**body, "logit_bias": {"5": 1}})
    assert answer.status_code == 400 and "logit_bias" in answer.json()["error"]["message"]


def note(text):
    """A call of `note` as the chatty checkpoint writes it."""
    return f"<tool_call>\n{json.dumps({'name': 'note', 'arguments': {'text': text}})}\n</tool_call>"


NOTE = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTES = [{"type": "function", "function": {"name": "note", "description": "", "parameters": NOTE}}]
HARD = 'a</tool_call>"<tool_call>\\'


class Scripted:
    """An engine that writes a given text."""

    def __init__(self, model, text):
        self.model, self.length, self._ids = model, 256, model.tokenizer.encode(text)

    def submit(self, request):
        stream, tokens = Stream(), [Token(token, False, -0.5, -0.5) for token in self._ids]
        stream.push(tokens)
        stream.finish(Result(tokens, self.model.tokenizer.decode(self._ids), "stop", 3, 0, 1))
        return stream


def both(engine, **body):
    """Content, names and arguments of the calls, and bytes of the tokens: of a whole and of a streamed answer."""
    app = TestClient(openai.application(engine))
    body = {"messages": ASK, "tools": NOTES, "logprobs": True, **body}
    choice = app.post("/chat/completions", json=body).json()["choices"][0]
    lines = app.post("/chat/completions", json={**body, "stream": True}).text.split("\n\n")
    events = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines if line.startswith("data: {")]

    def seen(messages, logprobs):
        calls = [call["function"] for message in messages for call in message.get("tool_calls") or []]
        content = "".join(message.get("content") or "" for message in messages)
        return content, calls, [token["bytes"] for some in logprobs if some for token in some["content"]]

    return [
        seen([choice["message"]], [choice["logprobs"]]),
        seen([event["delta"] for event in events], [event["logprobs"] for event in events]),
    ]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Sure. \n" + note("x") + "\n" + note(HARD) + " Done.\n", "Sure. Done.", ["x", HARD]),
        ("Sure. " + note("x")[:30], "Sure. " + note("x")[:30], []),
        (note("x") + "\n" + note("y")[:-5], "\n" + note("y")[:-5], ["x"]),
        ("<tool_call>nonsense</tool_call> so", "<tool_call>nonsense</tool_call> so", []),
        ("<tool_call>[1]</tool_call>" + note("x"), "<tool_call>[1]</tool_call>", ["x"]),
        (" no call, 3 < 4 \n", " no call, 3 < 4 \n", []),
    ],
)
def test_streamed_and_whole_answers_agree(engine, text, content, calls):
    whole, streamed = both(Scripted(engine.model, text))
    assert whole == streamed
    assert whole[0] == content and [json.loads(call["arguments"])["text"] for call in whole[1]] == calls
    assert b"".join(map(bytes, whole[2])).decode() == text


def test_log_probabilities_tell_the_true_bytes(engine):
    whole, streamed = both(Scripted(engine.model, "ä😀"), tools=[])
    assert whole == streamed == ("ä😀", [], [[byte] for byte in "ä😀".encode()])


def test_tokens_after_a_stop_string_keep_their_log_probabilities(engine):
    whole, streamed = both(Scripted(engine.model, "abcd"), stop=["bc"])
    assert whole == streamed and whole[0] == "a" and b"".join(map(bytes, whole[2])) == b"abcd"


def write(constraint, tokenizer, text):
    for token in tokenizer.encode(text):
        assert not constraint.done
        constraint.consume(token)


def test_one_optional_call_ends_the_answer_unless_more_may_follow(engine):
    form, tokenizer = tool_format(engine.model, TOOLS), engine.model.tokenizer
    for parallel in (True, False):
        constraint = form.optional(parallel)
        write(constraint, tokenizer, 'So <tool_call>\n{"name": "mail", "arguments": {"count": 7}}\n</tool_call>')
        assert constraint.done is not parallel


def test_an_answer_in_a_format_leaves_room_for_calls(client, engine):
    form = tool_format(engine.model, NOTES)
    answer = {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"enum": [1, 2]}}}
    answer |= {"required": ["n"], "additionalProperties": False}
    for text in (note("x") + "\n" + note("y"), '{"n": 2}'):
        constraint = form.required(None, parallel=True, answer=answer)
        mask = np.zeros(engine.model.config.vocab_size // 32, np.uint32)
        constraint.mask(mask)
        first = engine.model.tokenizer.encode(text)[0]
        assert mask[first // 32] >> first % 32 & 1
        write(constraint, engine.model.tokenizer, text)
        assert constraint.accepting
    reply = {"type": "json_schema", "json_schema": {"name": "x", "schema": answer}}
    for seed in range(3):
        message = ask(client, engine, tools=TOOLS, response_format=reply, temperature=2.0, seed=seed).choices[0].message
        assert message.tool_calls or json.loads(message.content)["n"] in (1, 2)


def test_an_engine_that_is_closed_and_unknown_paths_answer_in_openais_form(engine, chatty):
    closed = Engine(load(chatty), slots=2, length=256, sizes=(1, 8))
    closed.close()
    app = TestClient(openai.application(closed))
    answer = app.post("/chat/completions", json={"messages": ASK})
    assert answer.status_code == 503 and "closed" in answer.json()["error"]["message"]
    answer = app.get("/chat/completions")
    assert answer.status_code == 405 and answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["allow"] == "POST" and app.get("/nothing").json()["error"]["message"] == "Not Found"


def test_a_body_refused_while_it_is_read_answers_in_openais_form(engine):
    app = openai.application(engine)

    async def bounded(scope, receive, send):
        async def refuse():
            raise HTTPException(413, "too long", {"Connection": "close"})

        await app(scope, refuse if scope["type"] == "http" else receive, send)

    answer = TestClient(bounded).post("/chat/completions", json={})
    assert answer.status_code == 413 and answer.json()["error"]["message"] == "too long"
    assert answer.headers["connection"] == "close"
