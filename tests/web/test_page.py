"""The page in a real browser: an errand typed, spoken, confirmed, declined, answered; by mouse and by keyboard."""

import datetime as dt
import re

import pytest
from PIL import Image

from .conftest import GIF_TO_ALICE

SAID = "make a gif of my five most recent photos and send it to Alice"


def say(page, text):
    page.fill("#text", text)
    page.press("#text", "Enter")


def status(page, wanted):
    page.wait_for_selector(f".errand:last-child[data-status={wanted}]", state="attached")


def question(page):
    page.wait_for_selector(".errand:last-child .question h3", state="attached")
    return page.inner_text(".errand:last-child .question h3")


def loaded(page, selector):
    """Whether all pictures of a selector are there and really decoded."""
    page.wait_for_function(
        "s => { const all = [...document.querySelectorAll(s)];"
        " return all.length && all.every((i) => i.complete && i.naturalWidth > 0); }",
        arg=selector,
    )
    return page.locator(selector).count()


def test_errand_typed_watched_and_confirmed(open_page, service, tmp_path):
    service.planner.says(SAID, *GIF_TO_ALICE)
    page, before = open_page(), len(service.mails())
    say(page, SAID)
    asked = question(page)
    assert "Alice Smith" in asked and "alice@example.org" in asked and "animation.gif" in asked
    assert len(service.mails()) == before  # nothing left before the word was given
    assert page.locator(".step").count() == 3
    assert page.locator(".lines path").count() == 2
    assert loaded(page, ".strip img") == 5
    assert loaded(page, "figure img") == 1
    with page.expect_download() as download:
        page.click("figcaption a")
    with Image.open(download.value.path()) as gif:
        assert gif.n_frames == 5

    page.get_by_role("button", name="Send", exact=True).click()
    status(page, "done")
    assert "Alice Smith" in page.inner_text(".reply")
    assert page.locator(".step.done").count() == 3
    assert len(service.mails()) == before + 1

    page.reload()  # the conversation is still there
    status(page, "done")
    page.click("#history-toggle")
    past = page.get_by_role("complementary").get_by_role("listitem").filter(has_text=SAID).first
    past.wait_for()
    taken = dt.datetime.fromisoformat(past.locator("time").get_attribute("datetime"))
    assert abs(dt.datetime.now(dt.UTC) - taken) < dt.timedelta(minutes=10)
    assert re.fullmatch(r"\d{1,2}:\d{2}( [AP]M)?", past.locator("time").inner_text())


def test_declining_sends_nothing(open_page, service):
    service.planner.says(SAID, *GIF_TO_ALICE)
    page, before = open_page(), len(service.mails())
    say(page, SAID)
    question(page)
    page.get_by_role("button", name="Don’t send").click()
    status(page, "cancelled")
    assert len(service.mails()) == before


def test_spoken_into_the_microphone(open_page, service):
    """The fake microphone plays the recorded command while the button is held."""
    page = open_page()
    talk = page.locator("#talk")
    talk.hover()
    page.mouse.down()
    page.wait_for_selector("#talk[aria-pressed=true]", state="attached")
    page.wait_for_timeout(7000)
    page.mouse.up()
    page.wait_for_selector("#talk[aria-pressed=false]", state="attached")
    asked = question(page)
    assert "Alice Smith" in asked
    assert "photos" in page.inner_text(".said").lower()
    assert "heard by" in page.inner_text(".heard")


def test_keyboard_alone(open_page, service):
    service.planner.says(SAID, *GIF_TO_ALICE)
    page, before = open_page(), len(service.mails())
    page.focus("#text")
    page.keyboard.type(SAID)
    page.keyboard.press("Enter")
    question(page)
    focused = "document.activeElement.textContent"
    page.wait_for_function("() => document.activeElement.closest('.question') !== null")
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Send"
    page.keyboard.press("Enter")
    status(page, "done")
    assert len(service.mails()) == before + 1
    assert "outbox" in page.text_content("#live")  # and a screen reader was told


def test_choice_between_two_people(open_page, service):
    service.planner.says("tell Ben hello", ("messages.send", {"to": ["Ben"], "text": "hello"}))
    page = open_page()
    say(page, "tell Ben hello")
    question(page)
    choices = page.locator(".choices button")
    assert choices.count() == 2
    choices.filter(has_text="Baker").click()
    page.get_by_role("button", name="Send", exact=True).wait_for()
    assert "Ben Baker" in question(page)


def test_missing_argument_is_asked_for(open_page, service):
    service.planner.says("remind me to call", ("reminders.add", {"text": "call"}), missing=(1, "when"))
    page = open_page()
    say(page, "remind me to call")
    assert question(page) == "When should that be?"
    page.fill(".question input", "tomorrow at 9")
    page.press(".question input", "Enter")
    status(page, "done")
    assert "tomorrow at 09:00" in page.inner_text(".reply")


def test_what_is_said_is_never_markup(open_page, service):
    page = open_page()
    say(page, "<img src=x onerror=alert(1)> <b>bold</b>")
    status(page, "refused")
    assert page.inner_text(".said") == "<img src=x onerror=alert(1)> <b>bold</b>"
    assert page.locator(".said *").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_small_phone_and_has_names_for_everything(open_page, service, scheme):
    service.planner.says(SAID, *GIF_TO_ALICE)
    page = open_page(320, 640, scheme)
    say(page, SAID)
    question(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, img, a')].filter((e) => e.offsetParent &&"
        " !(e.ariaLabel || e.alt || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
    too_small = page.evaluate(
        "[...document.querySelectorAll('button')].filter((e) => e.offsetParent && e.offsetHeight < 40)"
        ".map((e) => e.outerHTML)"
    )
    assert too_small == []
    assert contrast(page) >= 4.5


def contrast(page):
    """The least contrast of the page's colours for text on what they stand on (WCAG)."""
    return page.evaluate("""() => {
      const rgb = (name) => {
        const probe = document.createElement("i");
        probe.style.color = `var(${name})`;
        document.body.append(probe);
        const found = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
        probe.remove();
        return found;
      };
      const light = (c) => c.map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const ratio = (a, b) => {
        const [x, y] = [light(rgb(a)), light(rgb(b))].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05);
      };
      const pairs = [["--ink", "--paper"], ["--ink", "--card"], ["--soft", "--paper"], ["--soft", "--card"],
        ["--on-accent", "--accent"], ["--ink", "--tint"], ["--bad", "--card"], ["--good", "--paper"]];
      return Math.min(...pairs.map(([a, b]) => ratio(a, b)));
    }""")


def test_a_reminder_is_shown_when_it_is_due_and_once(open_page, service):
    soon = "remind me to stretch in one second"
    service.planner.says(soon, ("reminders.add", {"text": "stretch", "when": "in one second"}))
    page = open_page()
    say(page, soon)
    page.wait_for_selector(".notice.reminder")
    assert "stretch" in page.inner_text(".notice.reminder")
    page.reload()
    page.wait_for_selector("#examples button", state="attached")
    page.wait_for_timeout(1000)
    assert page.locator(".notice.reminder").count() == 0
