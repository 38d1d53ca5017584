from __future__ import annotations

from dataclasses import replace

import pytest

from assistant.planning import Calibration, Calibrations, Earlier, Planned, Planner, PlanningError, questions
from assistant.planning.reading import add
from assistant.plugin.plan import Plan, Step
from assistant.plugin.signature import Parameter, ToolSpec, Type


def planned(planner: Planner, *steps: Step, gap: tuple[int, str] | None = None, text: str = "") -> Planned:
    """A plan as if the model had written it."""
    return planner._finished(Planned(text, Plan(steps), (gap,) if gap else (), confidence=1.0, said=(text,)))


@pytest.mark.parametrize(
    ("tool", "argument", "question"),
    [
        ("messages.send", "to", "Who gets it?"),
        ("messages.send", "text", "What should I tell them?"),
        ("reminders.add", "when", "When should that be?"),
        ("reminders.add", "text", "What should you be reminded of?"),
        ("notes.add", "text", "What should I write down?"),
        ("photos.add_to_album", "album", "What is the name of the album?"),
        ("gif.create", "photos", "Which photos?"),
    ],
)
def test_questions_follow_the_description(tools, tool: str, argument: str, question: str):
    assert questions.ask(tools[tool], tools[tool].by_name[argument]).text == question


def test_choices_are_offered(tools):
    question = questions.ask(tools["photos.edit"], tools["photos.edit"].by_name["effect"])
    assert question.text.startswith("Which effect: grayscale, sepia, rotate left") and "sepia" in question.choices


def test_a_tool_without_descriptions_is_asked_about_by_name():
    tool = ToolSpec("taxi.call", "Call a taxi.", (Parameter("pickupPlace", Type("Spoken")),), Type("str"))
    assert "pickup place" in questions.ask(tool, tool.parameters[0]).text


@pytest.mark.parametrize(
    ("tool", "argument", "answer", "value"),
    [
        ("messages.send", "to", "um, to Zoë please", ["Zoë"]),
        ("messages.send", "to", "Alice and Bob O'Neill, thanks", ["Alice", "Bob O'Neill"]),
        ("messages.send", "text", "tell him that I'm late.", "I'm late"),
        ("messages.send", "text", "yes", "yes"),
        ("messages.send", "text", "Just landed", "Just landed"),
        ("messages.send", "text", "um, well done!", "well done!"),
        ("messages.send", "text", "So sorry about last night", "So sorry about last night"),
        ("messages.send", "text", "thanks", "thanks"),
        ("reminders.add", "text", "write the report", "write the report"),
        ("reminders.add", "text", "remind me to ask her about the keys", "ask her about the keys"),
        ("reminders.add", "when", "tomorrow at 9, please", "tomorrow at 9"),
        ("photos.select", "count", "twenty-five", 25),
        ("photos.select", "count", "thirty two please", 32),
        ("photos.select", "count", "half a dozen", 6),
        ("photos.select", "count", "a dozen", 12),
        ("photos.select", "count", "thirteen", 13),
        ("gif.create", "seconds_per_photo", "two and a half", 2.5),
        ("gif.create", "seconds_per_photo", "half a second", 0.5),
        ("gif.create", "seconds_per_photo", "one point five", 1.5),
        ("notes.add", "text", "please buy milk and honey", "buy milk and honey"),
        ("photos.edit", "effect", "make it black... no, sepia", "sepia"),
        ("photos.edit", "effect", "rotate left please", "rotate_left"),
        ("collage.create", "columns", "three", 3),
        ("gif.create", "seconds_per_photo", "1,5 seconds", 1.5),
        ("photos.select", "favorites", "no", False),
        ("photos.select", "favorites", "nope", False),
        ("photos.select", "favorites", "don’t", False),
        ("photos.select", "favorites", "yes, why not", True),
        ("photos.select", "favorites", "no problem, yes", True),
        ("photos.select", "count", "1,000", 1000),
        ("photos.select", "count", "two hundred and five", 205),
        ("photos.select", "count", "three dozen", 36),
        ("gif.create", "seconds_per_photo", ".5", 0.5),
        ("gif.create", "seconds_per_photo", "1/2", 0.5),
        ("gif.create", "seconds_per_photo", "three quarters of a second", 0.75),
        ("gif.create", "seconds_per_photo", "a second and a half", 1.5),
    ],
)
def test_answers(tools, tool: str, argument: str, answer: str, value: object):
    assert questions.interpret(answer, tools[tool], tools[tool].by_name[argument]) == value


def test_sums_of_money_are_read_back(tools):
    plan = Plan((Step("photos.select", {"count": 1}), Step("messages.send", {"text": "$5", "attachments": ["$1"]})))
    assert "text: $5" in questions.read_back(plan, tools).text
    assert "$1" not in questions.read_back(plan, tools).text


def test_numbers_may_repeat_in_a_list():
    args: dict[str, object] = {}
    for n in (3, 3, 9):
        add(args, Parameter("numbers", Type.parse("list[int]")), n)
    assert args == {"numbers": [3, 3, 9]}


@pytest.mark.parametrize(
    ("choices", "answer", "choice"),
    [
        (("male", "female"), "female", "female"),
        (("lock", "unlock"), "unlock please", "unlock"),
        (("latte", "iced latte"), "the iced latte", "iced latte"),
        (("latte", "iced latte"), "iced latte? no, a latte", "latte"),
        (("tea", "steak"), "steak", "steak"),
        (("rotate_left", "rotate_right"), "rotate_right", "rotate_right"),
        (("grayscale", "sepia"), "sepja", "sepia"),
        (("on", "off"), "one of them", None),
        (("s", "m", "l"), "medium size", None),
    ],
)
def test_the_choice_that_was_said(choices: tuple[str, ...], answer: str, choice: str | None):
    p = Parameter("which", Type("enum", choices=choices))
    tool = ToolSpec("t.t", "Do.", (p,), Type("str"))
    if choice is not None:
        assert questions.interpret(answer, tool, p) == choice
        return
    with pytest.raises(questions.Unanswered):
        questions.interpret(answer, tool, p)


@pytest.mark.parametrize(
    ("argument", "answer"), [("count", "9" * 400), ("count", "minus five"), ("favorites", "maybe")]
)
def test_what_is_no_answer_is_asked_again(tools, argument: str, answer: str):
    with pytest.raises(questions.Unanswered):
        questions.interpret(answer, tools["photos.select"], tools["photos.select"].by_name[argument])


def test_an_answer_that_gives_nothing_is_asked_again(planner: Planner):
    asked = planned(planner, Step("messages.send", {"text": "hello"}), gap=(1, "to"), text="say hello")
    again = planner.complete(asked, "...")
    assert again.missing == (1, "to") and again.question is not None
    assert again.question.text.startswith("I did not understand")


def test_the_answer_completes_the_plan(planner: Planner):
    asked = planned(planner, Step("messages.send", {"text": "hello"}), gap=(1, "to"), text="say hello")
    assert asked.missing == (1, "to") and asked.question is not None and asked.question.kind == "missing"
    done = planner.complete(asked, "to Alice")
    assert done.plan == Plan((Step("messages.send", {"to": ["Alice"], "text": "hello"}),))
    assert list(done.plan.steps[0].args) == ["to", "text"]
    assert done.missing is None and done.question is None and done.said == ("say hello", "to Alice")
    with pytest.raises(PlanningError, match="nothing is missing"):
        planner.complete(done, "Bob")


def test_two_gaps_are_asked_one_after_the_other(planner: Planner):
    empty = Planned(
        "set a reminder", Plan((Step("reminders.add"),)), ((1, "text"), (1, "when")), said=("set a reminder",)
    )
    first = planner._finished(empty)
    second = planner.complete(first, "call mum")
    assert second.missing == (1, "when")
    third = planner.complete(second, "at nine")
    assert third.plan.steps[0].args == {"text": "call mum", "when": "at nine"} and third.missing is None


def test_a_message_without_content_asks_for_words(planner: Planner):
    asked = planned(planner, Step("messages.send", {"to": ["Bob"]}), text="message Bob")
    assert asked.missing == (1, "text")
    assert planner.complete(asked, "say I am late").plan.steps[0].args == {"to": ["Bob"], "text": "I am late"}


def test_an_unsure_plan_is_read_back(planner: Planner):
    sure = planned(planner, Step("notes.add", {"text": "buy milk"}), text="note buy milk")
    assert sure.question is None
    unsure = planner._finished(replace(sure, confidence=0.01))
    assert unsure.question is not None and unsure.question.kind == "confirm"
    assert "buy milk" in unsure.question.text


def test_a_result_is_asked_for_and_planned(planner: Planner, monkeypatch: pytest.MonkeyPatch):
    asked = planned(planner, Step("gif.create"), Step("messages.send", {"to": ["Bob"], "attachments": ["$1"]}),
                    gap=(1, "photos"), text="send Bob a gif")  # fmt: skip
    assert asked.question is not None and asked.question.text == "Which photos?"
    select = Planned(
        "my last five", Plan((Step("photos.select", {"count": 5}),)), confidence=1.0, said=("my last five",)
    )
    monkeypatch.setattr(planner, "plan", lambda text: select)  # random weights would choose anything
    done = planner.complete(asked, "my last five")
    assert [s.tool for s in done.plan.steps] == ["photos.select", "gif.create", "messages.send"]
    assert done.plan.steps[1].args == {"photos": "$1"}
    assert done.plan.steps[2].args == {"to": ["Bob"], "attachments": ["$2"]}
    assert done.missing is None


def test_an_errand_of_signs_alone_is_refused_without_the_model(planner: Planner):
    assert planner.plan("… !?").refused


def test_every_choice_and_only_choices_count():
    assert Calibration().confidence([-0.1, -0.2]) == pytest.approx(0.7408, abs=1e-4)
    assert Calibration().confidence([]) == 1.0
    fitted = Calibration(bias=2.0, total=1.0, worst=0.5)
    assert fitted.confidence([0.0]) > fitted.confidence([-1.0]) > fitted.confidence([-5.0, -5.0])
    assert 0 <= fitted.confidence([-1e9]) < 1e-9
    assert Calibration().of_argument([-0.1, -0.2]) == pytest.approx(0.7408, abs=1e-4)
    assert fitted.of_argument([-1.0]) == pytest.approx(0.3679, abs=1e-4), "arguments have a fit of their own"
    fitted = Calibration(bias=2.0, argument_bias=3.0, argument_total=2.0)
    assert fitted.of_argument([-0.5, -1.0]) == pytest.approx(0.5)
    assert fitted.of_argument([-1e9]) < 1e-9


def test_the_calibration_travels_with_the_checkpoint(tmp_path):
    assert Calibrations.load(tmp_path) == Calibrations()
    fitted = Calibrations(Calibration(1.5, 0.7, 0.2, 0.6, 2.5, 0.9), Calibration(0.5), frozenset({"gif.create"}))
    fitted.save(tmp_path)
    assert Calibrations.load(tmp_path) == fitted


def test_words_of_an_answer_may_be_used_by_a_correction(planner: Planner):
    before = Earlier("remind me", Plan((Step("reminders.add", {"text": "call mum", "when": "at nine"}),)),
                     (Type("Reminder"),), ("call mum", "at nine"))  # fmt: skip
    assert planner.draft("make that ten", [before]).planned.said == (
        "make that ten",
        "remind me",
        "call mum",
        "at nine",
    )
