"""What goes in and out as JSON, for checking and for the OpenAPI document."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from assistant.assistant import LONGEST_WAIT

Status = Literal["planned", "running", "needs_confirmation", "needs_answer", "done", "failed", "refused", "cancelled"]
PLAN = {
    "steps": [
        {"tool": "photos.select", "args": {"count": 5}},
        {"tool": "gif.create", "args": {"photos": "$1"}},
        {"tool": "messages.send", "args": {"to": ["Alice"], "attachments": ["$2"]}},
    ],
    "hash": "0f5bd1d9d1d5ac21a9d2a4cf9ac03f5d9a2b9f5a0f6f7c4c3d8e1b2a39485766",
}
GIF = {"id": "Yx0n2cVh3wqk9J1c2b3a4A", "name": "animation.gif", "media_type": "image/gif", "bytes": 912345,
       "url": "/artifacts/Yx0n2cVh3wqk9J1c2b3a4A"}  # fmt: skip
COMMAND: Any = {
    "id": "Zk3pQx7yB2mN8wLs",
    "status": "needs_confirmation",
    "transcript": {"text": "make a GIF of my five most recent photos and send it to Alice", "language": "en",
                   "confidence": 0.97, "engine": "pocketsphinx"},
    "plan": PLAN,
    "steps": [
        {"id": 1, "tool": "photos.select", "status": "done", "summary": "5 photos", "ms": 41.2, "artifacts": []},
        {"id": 2, "tool": "gif.create", "status": "done", "summary": "GIF animation.gif (912 kB)", "ms": 810.0,
         "artifacts": [GIF]},
        {"id": 3, "tool": "messages.send", "status": "running", "summary": "", "ms": None, "artifacts": []},
    ],
    "artifacts": [GIF],
    "question": {"kind": "confirm", "choices": [],
                 "text": "Send animation.gif (912 kB) to Alice Chen (alice@example.org, outbox)?"},
    "reply": "",
    "timings": {"speech_ms": 240.0, "plan_ms": 180.5, "run_ms": 1012.7, "total_ms": 1440.1},
    "created": "2026-11-23T19:04:11.310Z",
}  # fmt: skip


def _storable(text: str) -> str:
    """Text that every database and log can hold."""
    if "\0" in text:
        raise ValueError("must not hold NUL characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("is no valid Unicode text") from None
    return text


Words = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_storable)]
Session = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]


class Wish(BaseModel):
    """How a command is to be carried out; the same for text and recordings."""

    model_config = ConfigDict(extra="forbid")

    session: Session | None = Field(None, description="commands of one session may refer to the one before")
    approve: bool = Field(False, description="messages leave without a further question")
    plan_only: bool = Field(False, description="make the plan and do not carry it out")
    wait: float = Field(30.0, ge=0, le=LONGEST_WAIT, description="seconds to wait for the end or a question")


class CommandText(Wish):
    """A command in words."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [
            {"text": "make a GIF of my five most recent photos and send it to Alice"},
            {"text": "now send it to Ben too", "session": "kitchen", "approve": True, "wait": 10},
        ]},
    )  # fmt: skip
    text: Words


class Answer(BaseModel):
    """The answer to a command's question: exactly one of the three."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"confirm": True}, {"choice": 1}, {"text": "Alice"}],
                           "oneOf": [{"required": ["confirm"]}, {"required": ["choice"]}, {"required": ["text"]}]},
    )  # fmt: skip
    confirm: bool | None = Field(None, description="to a question of kind `confirm`")
    choice: int | None = Field(None, ge=1, le=1000, description="number of a choice, from 1")
    text: Words | None = Field(None, description="in words; also a choice, or yes and no")
    question: str | None = Field(
        None, max_length=20_000, description="text of the question that is answered; 409 when another one is open"
    )
    wait: float = Field(30.0, ge=0, le=LONGEST_WAIT)

    @model_validator(mode="after")
    def _one(self) -> Answer:
        if sum(v is not None for v in (self.confirm, self.choice, self.text)) != 1:
            raise ValueError("give exactly one of confirm, choice and text")
        return self


class Transcript(BaseModel):
    text: str
    language: str
    confidence: float
    engine: str = Field(description="the recogniser, such as `pocketsphinx` or `whisper:base`; `text` when typed")


class StepOfPlan(BaseModel):
    tool: str
    args: dict[str, Any]


class PlanOut(BaseModel):
    steps: list[StepOfPlan]
    hash: str


class Artifact(BaseModel):
    id: str
    name: str
    media_type: str
    bytes: int
    url: str


class StepOut(BaseModel):
    id: int
    tool: str
    status: Literal["waiting", "running", "done", "failed", "skipped", "cancelled"]
    summary: str
    ms: float | None
    artifacts: list[Artifact]


class QuestionOut(BaseModel):
    kind: Literal["confirm", "choose", "missing"]
    text: str
    choices: list[str]


class Timings(BaseModel):
    speech_ms: float | None
    plan_ms: float | None
    run_ms: float | None
    total_ms: float | None


class CommandOut(BaseModel):
    """A command as it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [COMMAND]})
    id: str
    status: Status
    transcript: Transcript | None
    plan: PlanOut
    steps: list[StepOut]
    artifacts: list[Artifact]
    question: QuestionOut | None
    reply: str
    timings: Timings
    created: dt.datetime = Field(description="when it was taken")


class ReminderOut(BaseModel):
    """A reminder that the user asked for."""

    id: str
    errand: str = Field(description="the command that it came from")
    text: str
    when: dt.datetime
    raised: dt.datetime | None = Field(description="when the user was told")


class NoteOut(BaseModel):
    """A note that the user dictated."""

    errand: str = Field(description="the command that it came from")
    text: str
    created: dt.datetime


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"type": "about:blank", "title": "Busy", "status": 429,
                                         "detail": "more than 60 commands a minute; try again in 12 seconds"}]},
    )  # fmt: skip
    type: str
    title: str
    status: int
    detail: str


class Tool(BaseModel):
    name: str
    description: str
    effect: Literal["read", "create", "send", "delete"]
    plugin: str
    third_party: bool
    examples: list[str]
    parameters: dict[str, Any] = Field(description="JSON schema; results of earlier steps are strings such as $1")
    returns: str


class PluginOut(BaseModel):
    name: str
    version: str
    third_party: bool
    error: str | None = Field(description="why it cannot be used")


class Tools(BaseModel):
    tools: list[Tool]
    plugins: list[PluginOut]


class Health(BaseModel):
    status: Literal["ready", "starting"]
    version: str
    planner: dict[str, Any]
    speech: dict[str, Any]
    sandbox: dict[str, Any]
    tools: int
    notices: list[str] = Field(description="what is missing or reduced, for people")
