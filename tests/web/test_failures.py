"""The page when something fails: nothing that was said is lost, and every failure is told where the user looks."""

import json

import pytest

from .test_page import say, status

POST = "**/command"
RUNNING = {
    "id": "made-up", "status": "running", "plan": {"steps": [], "hash": ""}, "steps": [], "artifacts": [],
    "question": None, "reply": "", "timings": {}, "created": "2026-11-23T19:04:11Z",
    "transcript": {"text": "wait for it", "language": "en", "confidence": 1, "engine": "text"},
}  # fmt: skip
DONE = {**RUNNING, "status": "done", "reply": "That is done."}


@pytest.fixture
def page(open_page):
    page = open_page(failures=True)
    page.set_default_timeout(20_000)
    return page


def answers(page, url, body, code=200):
    page.route(url, lambda route: route.fulfill(status=code, json=body))


def refuses(page, url, code=429):
    answers(page, url, {"title": "Busy", "status": code, "detail": "too many commands"}, code)


def runs_for_ever(page):
    """Every command is taken, and is then seen running."""
    answers(page, POST, RUNNING)
    answers(page, "**/command/made-up", RUNNING)
    page.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=": still here\n\n"))


def field(page):
    return page.input_value("#text")


def test_cancelling_while_the_service_is_away(page):
    runs_for_ever(page)
    say(page, "wait for it")
    cancel = page.locator(".foot button")
    page.route("**/cancel", lambda route: route.abort())
    cancel.click()
    page.get_by_role("alert").filter(has_text="does not answer").wait_for()
    assert cancel.evaluate("b => b === document.activeElement && !b.disabled")
    page.unroute("**/cancel")
    answers(page, "**/cancel", {**DONE, "status": "cancelled", "reply": "Cancelled."})
    page.keyboard.press("Enter")
    status(page, "cancelled")
    assert page.locator(".problem:visible").count() == 0


@pytest.mark.parametrize("code", [422, 429, 503, None])
def test_a_sentence_that_did_not_get_through_is_still_there(page, code):
    page.clock.install()
    refuses(page, POST, code) if code else page.route(POST, lambda route: route.abort())
    say(page, "water the plants")
    notice = page.locator(".notice.problem")
    notice.wait_for()
    page.clock.fast_forward(60_000)
    assert notice.is_visible() and field(page) == "water the plants"
    page.clock.resume()
    page.unroute(POST)
    page.press("#text", "Enter")
    status(page, "refused")
    assert notice.count() == 0 and field(page) == ""


def test_a_new_sentence_is_not_overwritten_by_the_one_that_failed(page):
    held = []
    page.route(POST, lambda route: held.append(route))
    with page.expect_request(POST):
        say(page, "water the plants")
    page.fill("#text", "feed the cat")
    held[0].fulfill(status=429, json={"detail": "too many commands"})
    page.unroute(POST)
    page.locator(".notice.problem", has_text="Not sent: “water the plants”").wait_for()
    assert field(page) == "feed the cat"
    page.get_by_role("button", name="Send again").click()
    status(page, "refused")
    assert page.inner_text(".said") == "water the plants" and field(page) == "feed the cat"
    assert page.locator(".notice.problem").count() == 0


def test_what_may_have_arrived_is_not_done_twice(page):
    keys = []
    page.on("request", lambda r: keys.append(r.headers["idempotency-key"]) if r.method == "POST" else None)
    page.route(POST, lambda route: route.abort())
    say(page, "water the plants")
    page.locator(".notice.problem").wait_for()
    page.unroute(POST)
    refuses(page, POST)
    page.press("#text", "Enter")
    page.locator(".notice.problem", has_text="too many").wait_for()
    page.unroute(POST)
    for n in (1, 2):  # the same said again, once it was taken, is another errand
        say(page, "water the plants")
        page.wait_for_function("n => document.querySelectorAll('[data-status=refused].errand').length === n", arg=n)
    assert keys[0] == keys[1] and len(set(keys[1:])) == 3


def test_a_recording_that_could_not_be_sent_is_kept(page):
    page.route(POST, lambda route: route.abort())
    page.focus("#talk")
    page.keyboard.down(" ")
    page.wait_for_selector("#talk[aria-pressed=true]", state="attached")
    page.wait_for_timeout(1500)
    page.keyboard.up(" ")
    again = page.get_by_role("button", name="Send again")
    again.wait_for()
    say(page, "water the plants")  # another attempt leaves it there
    page.wait_for_function("() => document.querySelector('#text').value !== ''")
    assert page.get_by_text("Your recording is kept").count() == 1
    page.unroute(POST)
    runs_for_ever(page)
    with page.expect_request(POST) as sent:
        again.click()
    assert sent.value.headers["content-type"].startswith("multipart/form-data")
    status(page, "running")
    assert again.count() == 0


def test_money_in_a_message_is_no_reference(page, service):
    select, send = ("photos.select", {"count": 2}), {"to": ["Alice"], "attachments": ["$1"]}
    for words in ("$5 for parking", "$1 goes to Bob", "$1"):
        said = f"send Alice my two photos and say {words}"
        service.planner.says(said, select, ("messages.send", {**send, "text": words}))
        say(page, said)
        status(page, "needs_confirmation")
        errand = page.locator(".errand").last
        errand.locator(".value", has_text=words).wait_for()
        errand.locator(".lines path").first.wait_for(state="attached")
        assert errand.locator(".lines path").count() == 1
        errand.get_by_role("button", name="Don’t send").click()
        status(page, "cancelled")


def test_references_are_whole_values_while_the_tools_are_unknown(page):
    found = page.evaluate("""async () => {
      const { phrases, sources } = await import("/static/js/words.js?unlearnt");
      const step = { tool: "x.y", args: { a: "$1 goes to Bob", b: ["$2.photo", "^1"], c: "$05", d: "$1\\n", e: 4 } };
      return [phrases(step).map(({ name, value }) => [name, value]), sources(step)];
    }""")
    assert found == [[["a", "$1 goes to Bob"], ["b", "from before"], ["c", "$05"], ["d", "$1\n"], ["e", "4"]], [2]]


def test_a_question_leaves_those_who_write_at_their_text(page):
    runs_for_ever(page)
    say(page, "wait for it")
    status(page, "running")
    page.type("#text", "and then")
    asks = {"kind": "missing", "text": "When should that be?", "choices": []}
    answers(page, "**/command/made-up", {**RUNNING, "status": "needs_answer", "question": asks})
    asked = "event: question\ndata: {}\n\n"
    page.route("**/events", lambda route: route.fulfill(content_type="text/event-stream", body=asked))
    page.wait_for_selector(".question h3")
    page.keyboard.type(" go on")
    assert field(page) == "and then go on"


def test_events_that_end_with_an_error_leave_no_errand_running(page):
    answers(page, POST, RUNNING)
    answers(page, "**/command/made-up", DONE)
    refuses(page, "**/events", 503)  # after which a browser asks no more
    say(page, "wait for it")
    status(page, "done")


def test_history_on_a_phone(open_page):
    page = open_page(360, 640, failures=True)
    page.set_default_timeout(20_000)
    say(page, "water the plants")
    status(page, "refused")
    page.click("#history-toggle")
    page.route("**/command/*", lambda route: route.abort())
    item = page.locator("#past button", has_text="water the plants").first
    item.click()
    page.locator(".notice.problem").wait_for()  # a button that cannot do its work says so
    page.unroute("**/command/*")
    item.click()
    page.wait_for_selector("#history", state="hidden")
    assert page.evaluate("document.activeElement.closest('.errand') !== null")


def test_the_page_fills_once_the_service_is_ready(page):
    started = []

    def health(route):
        body = route.fetch().json()
        started.append(1)
        route.fulfill(body=json.dumps({**body, "status": "starting" if len(started) == 1 else "ready"}))

    def tools(route):
        route.continue_() if len(started) > 1 else route.fulfill(status=503, json={"detail": "the service is starting"})

    page.route("**/health", health)
    page.route("**/tools", tools)
    page.reload()
    page.wait_for_selector("#examples button")
