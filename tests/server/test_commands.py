"""`/command` and what belongs to it, over a service whose plans are dictated."""

from __future__ import annotations

import asyncio
import json
from email import message_from_bytes, policy

import pytest

from assistant.execution.errand import UnknownErrand
from assistant.planning.planned import PlanningError

from .conftest import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEYS = {"id", "status", "transcript", "plan", "steps", "artifacts", "question", "reply", "timings", "created"}
SELECT = ("photos.select", {"count": 2})
GIF = ("gif.create", {"photos": "$1", "size": "small"})


async def test_note(world: World) -> None:
    world.planner.says("note that the code is 4711", ("notes.add", {"text": "the code is 4711"}))
    command = await world.command("note that the code is 4711")
    assert set(command) == KEYS
    assert command["status"] == "done" and command["reply"] == "Noted: “the code is 4711”."
    assert command["transcript"] == {
        "text": "note that the code is 4711", "language": "en", "confidence": 1.0, "engine": "text",
    }  # fmt: skip
    assert set(command["timings"]) == {"speech_ms", "plan_ms", "run_ms", "total_ms"}
    assert command["timings"]["speech_ms"] is None and command["timings"]["plan_ms"] >= 0
    assert command["plan"]["steps"] == [{"tool": "notes.add", "args": {"text": "the code is 4711"}}]
    assert len(command["plan"]["hash"]) == 64
    again = (await world.client.get(f"/command/{command['id']}")).json()
    assert again == command
    notes = (await world.client.get("/notes?limit=1")).json()
    assert [(n["errand"], n["text"]) for n in notes] == [(command["id"], "the code is 4711")]


async def test_gif_confirmed_and_delivered(world: World) -> None:
    text = "gif of my last two photos to Alice"
    world.planner.says(text, SELECT, GIF, ("messages.send", {"to": ["Alice"], "attachments": ["$2"]}))
    before = len(world.mails())
    command = await world.command(text)
    assert command["status"] == "needs_confirmation" and command["question"]["kind"] == "confirm"
    assert "Alice Smith" in command["question"]["text"] and "alice@example.org" in command["question"]["text"]
    assert len(world.mails()) == before  # nothing leaves before the word
    done = (await world.client.post(f"/command/{command['id']}/answer", json={"confirm": True})).json()
    assert done["status"] == "done", done
    [new] = world.mails()[before:]
    mail = message_from_bytes(new.read_bytes(), policy=policy.default)
    [gif] = list(mail.iter_attachments())
    assert mail["To"] == "Alice Smith <alice@example.org>" and gif.get_content().startswith(b"GIF8")
    [artifact] = done["artifacts"]
    assert artifact["url"] == f"/artifacts/{artifact['id']}" and artifact["media_type"] == "image/gif"
    assert (await world.client.get(artifact["url"])).content.startswith(b"GIF8")
    assert [s["status"] for s in done["steps"]] == ["done"] * 3 and done["steps"][1]["artifacts"] == [artifact]


async def test_declined(world: World) -> None:
    world.planner.says("tell Alice hello", ("messages.send", {"to": ["Alice"], "text": "hello"}))
    before = len(world.mails())
    command = await world.command("tell Alice hello")
    after = (await world.client.post(f"/command/{command['id']}/answer", json={"confirm": False})).json()
    assert after["status"] == "cancelled" and "Cancelled." in after["reply"] and len(world.mails()) == before
    again = await world.client.post(f"/command/{command['id']}/answer", json={"confirm": True})
    assert again.status_code == 409 and len(world.mails()) == before


async def test_approved_beforehand(world: World) -> None:
    world.planner.says("tell Alice good night", ("messages.send", {"to": ["Alice"], "text": "good night"}))
    before = len(world.mails())
    command = await world.command("tell Alice good night", approve=True)
    assert command["status"] == "done" and len(world.mails()) == before + 1


async def test_an_answer_meets_only_the_question_that_it_was_given_to(world: World) -> None:
    """A repeated yes must not let a second message leave that nobody has seen."""
    sends = [("messages.send", {"to": ["Alice"], "text": text}) for text in ("first thing", "second thing")]
    say = "tell Alice first thing and tell Alice second thing"
    world.planner.says(say, *sends)
    before = len(world.mails())
    command = await world.command(say)
    asked = command["question"]["text"]
    yes = {"confirm": True, "question": asked}
    now = (await world.client.post(f"/command/{command['id']}/answer", json=yes)).json()
    assert now["status"] == "needs_confirmation" and now["question"]["text"] != asked
    again = await world.client.post(f"/command/{command['id']}/answer", json=yes)
    assert again.status_code == 409 and now["question"]["text"] in again.json()["detail"]
    for _ in range(100):  # the first one leaves while the second question is open
        if len(world.mails()) > before:
            break
        await asyncio.sleep(0.1)
    assert len(world.mails()) == before + 1
    await world.client.post(f"/command/{command['id']}/cancel")
    assert len(world.mails()) == before + 1


async def test_refused_says_what_it_can_do(world: World) -> None:
    command = await world.command("fly me to the moon")
    assert command["status"] == "refused" and command["plan"]["steps"] == [] and command["question"] is None
    assert "photos" in command["reply"] and "messages" in command["reply"] and len(command["reply"]) < 400


async def test_plan_only_runs_nothing(world: World) -> None:
    world.planner.says("tell Alice plan", ("messages.send", {"to": ["Alice"], "text": "plan"}))
    before = len(world.mails())
    command = await world.command("tell Alice plan", plan_only=True, approve=True)
    assert command["status"] == "planned" and command["steps"][0]["status"] == "waiting"
    assert len(world.mails()) == before


async def test_plans_alone_follow_each_other(world: World) -> None:
    world.planner.says("gif of my last photo", SELECT, GIF)
    world.planner.says("and to Alice", ("messages.send", {"to": ["Alice"], "attachments": ["^2"]}))
    await world.command("gif of my last photo", plan_only=True, session="looks")
    then = await world.command("and to Alice", plan_only=True, session="looks")
    assert then["status"] == "planned", then
    [earlier] = world.planner.asked[-1][1]
    assert earlier.text == "gif of my last photo" and len(earlier.results) == 2
    world.planner.says("and to Ben Baker", ("messages.send", {"to": ["Ben Baker"], "attachments": ["^2"]}))
    third = await world.command("and to Ben Baker", plan_only=True, session="looks")
    assert third["status"] == "planned", "what only passes a result on leaves it within reach"
    real = await world.client.post("/command", json={"text": "and to Alice", "session": "looks"})
    assert world.planner.asked[-1][1] == [] and "the previous errand has 0 steps" in real.json()["detail"]


async def test_missing_argument_completes_the_same_plan(world: World) -> None:
    world.planner.says("remind me to stretch", ("reminders.add", {"text": "stretch"}), missing=(1, "when"))
    command = await world.command("remind me to stretch")
    assert command["status"] == "needs_answer" and command["question"]["kind"] == "missing"
    done = await world.client.post(f"/command/{command['id']}/answer", json={"text": "tomorrow at 9"})
    assert done.json()["status"] == "done" and done.json()["id"] == command["id"]
    assert done.json()["plan"]["steps"][0]["args"] == {"text": "stretch", "when": "tomorrow at 9"}


async def test_doubt_is_read_back(world: World) -> None:
    world.planner.says("note eggs", ("notes.add", {"text": "eggs"}), doubt=True)
    yes, no = await world.command("note eggs"), await world.command("note eggs")
    assert yes["status"] == no["status"] == "needs_confirmation" and yes["steps"][0]["status"] == "waiting"
    yes = (await world.client.post(f"/command/{yes['id']}/answer", json={"confirm": True})).json()
    no = (await world.client.post(f"/command/{no['id']}/answer", json={"text": "no"})).json()
    assert (yes["status"], no["status"]) == ("done", "cancelled")


async def test_two_people_of_one_name(world: World) -> None:
    world.planner.says("tell Ben hi", ("messages.send", {"to": ["Ben"], "text": "hi"}))
    command = await world.command("tell Ben hi", approve=True)
    assert command["status"] == "needs_answer" and command["question"]["kind"] == "choose"
    assert len(command["question"]["choices"]) == 2
    done = (await world.client.post(f"/command/{command['id']}/answer", json={"choice": 2})).json()
    assert done["status"] == "done" and "Ben" in done["reply"]


async def test_follow_up_uses_earlier_results(world: World) -> None:
    world.planner.says("gif of my last two photos", SELECT, GIF)
    world.planner.says("now send it to Alice", ("messages.send", {"to": ["Alice"], "attachments": ["^2"]}))
    first = await world.command("gif of my last two photos", session="desk")
    assert first["status"] == "done", first
    second = await world.command("now send it to Alice", session="desk", approve=True)
    assert second["status"] == "done", second
    [earlier] = world.planner.asked[-1][1]
    assert earlier.text == "gif of my last two photos" and [str(t) for t in earlier.results] == ["list[Photo]", "Gif"]
    alone = await world.client.post("/command", json={"text": "now send it to Alice", "session": "elsewhere"})
    assert alone.status_code == 422  # another session has no such result


async def test_follow_up_of_a_follow_up(world: World) -> None:
    """What only passed a result on makes nothing, so the next one refers to what was made before; so does a correction
    of what was asked about it."""
    send = ("messages.send", {"to": ["Alice"], "attachments": ["^2"]})
    world.planner.says("gif of my last two photos", SELECT, GIF)
    world.planner.says("now send it to Alice", send)
    world.planner.says("and to Benny", ("messages.send", {"to": ["Benny"], "attachments": ["^2"]}))
    world.planner.says("no, to Alice", send)
    world.planner.says("note that it works", ("notes.add", {"text": "it works"}))
    before = len(world.mails())
    await world.command("gif of my last two photos", session="chain")
    await world.command("now send it to Alice", session="chain", approve=True)
    asked = await world.command("and to Benny", session="chain")
    [earlier] = world.planner.asked[-1][1]
    assert earlier.shown == "gif of my last two photos. now send it to Alice"
    assert (earlier.text, earlier.answers) == ("now send it to Alice", ("gif of my last two photos",))
    assert [s.tool for s in earlier.plan.steps] == ["photos.select", "gif.create", "messages.send"]
    assert earlier.plan.steps[2].args == {"to": ["Alice"], "attachments": ["$2"]}
    assert [str(t) for t in earlier.results] == ["list[Photo]", "Gif"]
    assert asked["status"] == "needs_confirmation"
    corrected = await world.command("no, to Alice", session="chain", approve=True)
    assert corrected["status"] == "done"
    assert (await world.client.get(f"/command/{asked['id']}")).json()["status"] == "cancelled"
    sent = [message_from_bytes(m.read_bytes(), policy=policy.default) for m in world.mails()[before:]]
    assert [a.get_content_type() for m in sent for a in m.iter_attachments()] == ["image/gif", "image/gif"]
    await world.command("note that it works", session="chain")
    lost = await world.client.post("/command", json={"text": "and to Benny", "session": "chain"})
    assert lost.status_code == 422  # the note has nothing to do with it


async def test_words_across_two_utterances_were_never_said(world: World) -> None:
    world.planner.says("gif of my last two photos", SELECT, GIF)
    world.planner.says("send it to Alice", ("messages.send", {"to": ["Alice"], "attachments": ["^2"]}))
    for text in ("photos. send", "last two photos"):
        world.planner.says(f"write {len(text)}", ("messages.send", {"to": ["Alice"], "text": text}))
    await world.command("gif of my last two photos", session="across")
    await world.command("send it to Alice", session="across", approve=True)
    crossing = await world.client.post("/command", json={"text": "write 12", "session": "across", "approve": True})
    assert crossing.status_code == 422 and "was not said" in crossing.json()["detail"]
    await world.command("send it to Alice", session="across", approve=True)
    said = await world.command("write 15", session="across", approve=True)
    assert said["status"] == "done"


async def test_follow_up_of_what_was_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's errand is gone or too old: the follow-up before is all there is to refer to."""
    world.planner.says("gif of my last two photos", SELECT, GIF)
    world.planner.says("send it to Alice", ("messages.send", {"to": ["Alice"], "attachments": ["^2"]}))
    world.planner.says("note fine", ("notes.add", {"text": "fine"}))
    first = await world.command("gif of my last two photos", session="gone")
    await world.command("send it to Alice", session="gone", approve=True)
    executor, known = world.assistant.executor, world.assistant.executor.state

    async def state(id: str) -> object:
        if id == first["id"]:
            raise UnknownErrand(id)
        return await known(id)

    monkeypatch.setattr(executor, "state", state)
    assert (await world.command("note fine", session="gone"))["status"] == "done"
    [earlier] = world.planner.asked[-1][1]
    assert (earlier.text, earlier.shown) == ("send it to Alice", "")


async def test_correction_of_what_was_read_back(world: World) -> None:
    world.planner.says("note eggs", ("notes.add", {"text": "eggs"}), doubt=True)
    world.planner.says("no, milk", ("notes.add", {"text": "milk"}))
    first = await world.command("note eggs", session="doubt")
    assert (await world.command("no, milk", session="doubt"))["status"] == "done"
    assert (await world.client.get(f"/command/{first['id']}")).json()["status"] == "cancelled"


async def test_correction_of_what_was_asked(world: World) -> None:
    world.planner.says("tell Alice we are late", ("messages.send", {"to": ["Alice"], "text": "we are late"}))
    world.planner.says("no, to Benny", ("messages.send", {"to": ["Benny"], "text": "we are late"}))
    before = len(world.mails())
    first = await world.command("tell Alice we are late", session="fix")
    second = await world.command("no, to Benny", session="fix")
    assert "Ben Baker" in second["question"]["text"]
    assert (await world.client.get(f"/command/{first['id']}")).json()["status"] == "cancelled"
    await world.command("yes", session="fix")
    [new] = world.mails()[before:]
    assert b"baker@example.org" in new.read_bytes()


async def test_spoken_answers_continue_the_command(world: World) -> None:
    world.planner.says("tell Ben good morning", ("messages.send", {"to": ["Ben"], "text": "good morning"}))
    first = await world.command("tell Ben good morning", session="talk")
    chosen = await world.command("the second one", session="talk")
    assert chosen["id"] == first["id"] and chosen["status"] == "needs_confirmation"
    done = await world.command("yes", session="talk")
    assert done["id"] == first["id"] and done["status"] == "done"
    world.planner.says("remind me to sleep", ("reminders.add", {"text": "sleep"}), missing=(1, "when"))
    asked = await world.command("remind me to sleep", session="talk")
    told = await world.command("tomorrow at ten", session="talk")
    assert told["id"] == asked["id"] and told["status"] == "done"
    listed = (await world.client.get("/command", params={"session": "talk"})).json()
    assert [c["id"] for c in listed] == [asked["id"], first["id"]]


async def test_cancel(world: World) -> None:
    world.planner.says("tell Alice stop", ("messages.send", {"to": ["Alice"], "text": "stop"}))
    command = await world.command("tell Alice stop")
    gone = (await world.client.post(f"/command/{command['id']}/cancel")).json()
    assert gone["status"] == "cancelled" and gone["reply"]
    assert (await world.client.post(f"/command/{command['id']}/cancel")).json() == gone


async def test_idempotency(world: World) -> None:
    world.planner.says("note once", ("notes.add", {"text": "once"}))
    body, key = {"text": "note once"}, {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(world.client.post("/command", json=body, headers=key) for _ in range(8)))
    assert {a.json()["id"] for a in answers} == {answers[0].json()["id"]}
    other = await world.client.post("/command", json={"text": "note twice"}, headers=key)
    assert other.status_code == 422 and "k-1" in other.json()["detail"]
    with world.assistant.executor.store.read() as c:
        assert c.exec_driver_sql("SELECT count(*) FROM notes WHERE text = 'once'").scalar() == 1


async def test_no_wait(world: World) -> None:
    world.planner.says("note later", ("notes.add", {"text": "later"}))
    command = await world.command("note later", wait=0)
    assert command["status"] == "running"
    assert (await world.assistant.rest(command["id"], 10)).status == "done"


async def test_events_replay(world: World) -> None:
    world.planner.says("note events", ("notes.add", {"text": "events"}))
    command = await world.command("note events")
    url = f"/command/{command['id']}/events"
    seen = _events((await world.client.get(url)).text)
    ids = [i for i, _, _ in seen]
    assert ids == sorted(set(ids))
    types = [t for _, t, _ in seen]
    assert types[0] == "status" and "plan" in types and "step" in types and seen[-1][2] == {"status": "done"}
    rest = _events((await world.client.get(url, headers={"Last-Event-ID": str(ids[2])})).text)
    assert rest == seen[3:]
    assert (await world.client.get(url, headers={"Last-Event-ID": str(ids[-1])})).status_code == 204


async def test_events_of_a_refusal(world: World) -> None:
    command = await world.command("sing me a song")
    seen = _events((await world.client.get(f"/command/{command['id']}/events")).text)
    assert [t for _, t, _ in seen] == ["status", "reply", "status"] and seen[-1][2] == {"status": "refused"}


async def test_plan_that_was_not_said(world: World) -> None:
    world.planner.says("note milk", ("notes.add", {"text": "poison"}))
    answer = await world.client.post("/command", json={"text": "note milk"})
    assert answer.status_code == 422 and "was not said" in answer.json()["detail"]
    world.planner.fails("too long", PlanningError("this is too long for the planner's model; say it in fewer words"))
    assert (await world.client.post("/command", json={"text": "too long"})).status_code == 422
    world.planner.fails("crash", RuntimeError("secret detail"))
    crash = await world.client.post("/command", json={"text": "crash"})
    assert crash.status_code == 500 and "secret detail" not in crash.text
    assert (await world.client.get(f"/command/{crash.json()['command']}")).json()["status"] == "failed"


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "text"), ({"text": ""}, "text"), ({"text": "  "}, "empty"), ({"text": "x" * 4001}, "4000"),
        ({"text": "hi", "wait": -1}, "wait"), ({"text": "hi", "wait": 1e9}, "wait"), ({"text": 5}, "text"),
        ({"text": "hi", "session": "a b"}, "session"), ({"text": "hi", "approve": "perhaps"}, "approve"),
        ({"text": "hi", "nonsense": 1}, "nonsense"), ({"text": "a\0b"}, "NUL"), ([], "body"), ("x", "body"),
    ],
)  # fmt: skip
async def test_bad_bodies(world: World, body: object, part: str) -> None:
    answer = await world.client.post("/command", json=body)
    assert answer.status_code == 422 and part in answer.json()["detail"], answer.text


async def test_odd_requests(world: World) -> None:
    send = world.client.post
    json_type = {"Content-Type": "application/json"}
    for content in (b"{", b"", b"\xff\xfe", b'{"text": "\\ud800"}', b'{"text": NaN}', b"[" * 100_000):
        answer = await send("/command", content=content, headers=json_type)
        assert answer.status_code == 422, (content[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await send("/command", content=b"hi", headers={"Content-Type": "text/plain"})).status_code == 415
    assert (await send("/command", files={"audio": ("a.wav", b"")}, data={"text": "hi"})).status_code == 422
    assert (await send("/command", files={"other": ("a.wav", b"x")})).status_code == 422
    assert (await send("/command", files=[("audio", ("a", b"x")), ("audio", ("b", b"x"))])).status_code == 400
    assert (await world.client.get("/command/nothing")).status_code == 404
    assert (await send("/command/nothing/answer", json={"confirm": True})).status_code == 404
    assert (await send("/command/nothing/answer", json={"confirm": True, "choice": 1})).status_code == 422
    assert (await world.client.get("/command/nothing/events")).status_code == 404
    assert (await world.client.get("/nowhere")).json()["title"] == "Not Found"
    assert (await world.client.delete("/command")).status_code == 405


def _events(text: str) -> list[tuple[int, str, dict]]:
    out = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":") and ": " in line)
        if "data" in fields:
            out.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return out
