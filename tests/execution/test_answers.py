"""Answers, arguments and grants: small parts that everything leans on."""

import os

import pytest

from assistant.execution.answers import understand
from assistant.execution.attachments import AttachmentError, Attachments
from assistant.execution.errand import AnswerError
from assistant.execution.plugins import Grants, NotApproved
from assistant.execution.references import NothingThere, arguments
from assistant.plugin.manifest import Manifest
from assistant.plugin.plan import Step
from assistant.plugin.registry import OWN_DISTRIBUTION, Plugin, load_registry
from assistant.speech import phrases

from . import kit

BENS = ["Ben Miller (ben@example.org)", "Ben Baker (baker@example.org)"]


def given(kind, choices=(), confirm=None, choice=None, text=None):
    return understand(kind, choices, confirm=confirm, choice=choice, text=text)


@pytest.mark.parametrize(
    ("text", "choice"),
    [("the second one", 2), ("2", 2), ("number one", 1), ("Miller", 1), ("ben baker", 2), ("first", 1)],
)
def test_choices_in_words(text, choice):
    assert given("choose", BENS, text=text) == {"choice": choice}


def test_answers():
    assert given("confirm", confirm=False) == {"confirm": False}
    assert given("confirm", text="Yes, please.") == {"confirm": True}
    assert given("confirm", text="go ahead") == {"confirm": True}
    for word in (*phrases.YES, *phrases.NO):  # what the offline recogniser listens for
        assert given("confirm", text=word.capitalize()) == {"confirm": word in phrases.YES}
    assert given("choose", BENS, text="Ben") == {"text": "Ben"}  # still two
    assert given("missing", text=" at nine ") == {"text": "at nine"}
    assert given("missing", ("sepia", "blur"), choice=2) == {"text": "blur"}
    assert [given("confirm", ("yes", "no"), choice=n) for n in (1, 2)] == [{"confirm": True}, {"confirm": False}]


@pytest.mark.parametrize(
    ("kind", "answer", "problem"),
    [
        ("confirm", {"text": "maybe"}, "wants a yes or a no"),
        ("confirm", {"choice": 1}, "wants a yes or a no"),
        ("choose", {"choice": 3}, "there is no choice 3"),
        ("choose", {"choice": 0}, "there is no choice 0"),
        ("choose", {"confirm": True}, "wants a choice"),
        ("missing", {"confirm": True}, "wants a text"),
        ("missing", {"text": "  "}, "empty"),
        ("missing", {"choice": 3}, "there is no choice 3"),
        ("missing", {}, "exactly one"),
        ("missing", {"text": "a", "choice": 1}, "exactly one"),
    ],
)
def test_answers_that_do_not_fit(kind, answer, problem):
    with pytest.raises(AnswerError, match=problem):
        given(kind, BENS, **answer)


def test_arguments():
    tools = load_registry()
    photos = [{"$type": "Photo", "path": "/a"}, {"$type": "Photo", "path": "/b"}]
    gif = {"$type": "Gif", "path": "/g"}
    results = {1: photos, 2: gif, 3: []}
    send = Step("messages.send", {"to": ["$1"], "text": "$2", "attachments": ["$2", "$1"]})
    spec = tools["messages.send"]
    assert [str(r) for r in send.references(spec)] == ["$2", "$1"]  # words are no references
    assert arguments(send, spec, lambda r: results[r.step]) == {
        "to": ["$1"],
        "text": "$2",
        "attachments": [gif, *photos],
    }
    make = Step("gif.create", {"photos": "$3"})
    with pytest.raises(NothingThere, match="step 3 found nothing"):
        arguments(make, tools["gif.create"], lambda r: results[r.step])


# files that may leave


def test_only_photos_and_artifacts_leave(tmp_path):
    photos, secret = tmp_path / "photos", tmp_path / "secret.txt"
    photos.mkdir()
    secret.write_text("secret")
    (photos / "link.jpg").symlink_to(secret)
    (photos / "ok.txt").write_text("ok")
    os.mkfifo(photos / "pipe")
    files = Attachments(tmp_path / "copies", [photos])
    [copy] = files.copy([{"path": str(photos / "ok.txt"), "name": "a/../b\u202egpj.txt"}])
    assert copy["name"] == "a_.._bgpj.txt" and files.attached(copy).read() == b"ok"
    for name in ("link.jpg", "../secret.txt", "pipe", "absent", ""):
        with pytest.raises(AttachmentError):
            files.copy([{"path": str(photos / name), "name": "x"}])
    two = files.copy([{"path": str(photos / "ok.txt"), "name": "x.txt"}] * 2)
    assert [f["name"] for f in two] == ["x.txt", "x 2.txt"]


def test_too_large(tmp_path):
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate((25 << 20) + 1)
    with pytest.raises(AttachmentError, match="larger than 25 MB"):
        Attachments(tmp_path / "copies", [tmp_path]).copy([{"path": str(big)}])


# grants


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "home").mkdir()
    return kit.settings_in(tmp_path)


def plugin(by="somebody", **manifest):
    return Plugin("coffee", "coffee", by, "1", None, Manifest(**manifest))


def grants(settings):
    from zoneinfo import ZoneInfo

    return Grants(settings, ZoneInfo("Europe/Berlin"))


def test_a_manifest_is_approved_as_it_is(settings):
    asking = plugin(hosts=("api.example:443",))
    with pytest.raises(NotApproved, match="assistant tools approve coffee"):
        grants(settings).call("coffee.order", asking, {})
    grants(settings).approve(asking)
    assert grants(settings).call("coffee.order", asking, {}).hosts == ("api.example:443",)
    more = plugin(hosts=("api.example:443", "evil.example:443"))
    assert not grants(settings).approved(more)
    grants(settings).approve(more)
    assert grants(settings).approved(more) and not grants(settings).approved(asking)
    assert grants(settings).approved(plugin()) and grants(settings).approved(plugin(OWN_DISTRIBUTION, read=("photos",)))


def test_secrets(settings):
    asking = plugin(secrets=("COFFEE_TOKEN",))
    grants(settings).approve(asking)
    with pytest.raises(NotApproved, match="needs the secret COFFEE_TOKEN"):
        grants(settings).call("coffee.order", asking, {})
    file = settings.home / "plugins.toml"
    file.write_text(file.read_text() + 'COFFEE_TOKEN = "abc"\nOTHER = "x"\n')
    assert grants(settings).call("coffee.order", asking, {}).secrets == {"COFFEE_TOKEN": "abc"}
    file.chmod(0o644)
    with pytest.raises(NotApproved, match="chmod 600"):
        grants(settings).call("coffee.order", asking, {})


def test_folders(settings, tmp_path):
    (tmp_path / "photos").mkdir()
    call = grants(settings).call("photos.select", plugin(OWN_DISTRIBUTION, read=("photos",), write=("data",)), {})
    assert call.read == (tmp_path / "photos",)
    assert call.write == (tmp_path / "home" / "data" / "coffee",) and call.write[0].is_dir()
    assert call.context["photos"] == [str(tmp_path / "photos")] and call.context["timezone"] == "Europe/Berlin"
