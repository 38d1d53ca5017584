"""The tool API: signatures, plans, values, manifests, the registry and the settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest

from assistant.config import SettingsError, load_settings
from assistant.plugin import File, Gif, Image, Photo, Send, SignatureError, Spoken, tool
from assistant.plugin.manifest import FILE, Manifest, ManifestError
from assistant.plugin.plan import Plan, PlanError, check
from assistant.plugin.registry import load_registry
from assistant.plugin.signature import ToolSpec, Type, describe
from assistant.plugin.values import ValueTypeError, decode, decode_dataclass, encode


def select(count: int | None = None) -> list[Photo]:
    """Find photos."""
    return []


def gif(photos: list[Photo], size: Literal["small", "large"] = "small") -> Gif:
    """Make an animation.

    Args:
        photos: the photos,
            in order
    """
    return Gif(Path("a.gif"))


def send(to: list[Spoken], text: Spoken | None = None, attachments: list[File] = []) -> Send:  # noqa: B006
    """Send a message."""
    return Send(to, text, attachments)


TOOLS = {n: describe(f, n) for n, f in (("p.select", select), ("g.gif", gif), ("m.send", send))}


def plan(*steps: tuple[str, dict]) -> Plan:
    return Plan.from_json({"steps": [{"tool": t, "args": a} for t, a in steps]})


def test_a_signature_becomes_a_specification() -> None:
    spec = TOOLS["g.gif"]
    assert ToolSpec.from_json(spec.to_json()) == spec
    assert spec.by_name["photos"].description == "the photos, in order" and spec.effect == "create"
    assert TOOLS["m.send"].effect == "send" and str(TOOLS["m.send"].returns) == "Receipt"
    assert spec.schema()["function"]["parameters"]["required"] == ["photos"]


def untyped(x) -> str:
    """Text."""


def starred(*photos: Photo) -> str:
    """Text."""


def silent(x: int) -> str: ...


def wrong_default(x: int = "three") -> str:  # type: ignore[assignment]
    """Text."""


def no_return(x: int):
    """Text."""


def strange(x: dict[str, int]) -> str:
    """Text."""


async def later(x: int) -> str:
    """Text."""


def one_letter(unit: Literal["C", "c"]) -> str:
    """Text."""


def two_ways(maxSize: int, max_size: int) -> str:
    """Text."""


class Poster(Image):
    """A kind of picture."""


def poster(x: int) -> Poster:
    """Text."""


@pytest.mark.parametrize(
    ("function", "said"),
    [(untyped, "'x' has no type"), (starred, "'photos'"), (silent, "docstring"), (wrong_default, "'x': the default"),
     (no_return, "return annotation"), (strange, "'x'"), (later, "without async"), (poster, "use Image itself"),
     (one_letter, "'C' and 'c' look the same"), (two_ways, "'maxSize' and 'max_size' look the same")],
)  # fmt: skip
def test_wrong_signatures_name_the_parameter(function, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        tool(function)


def test_only_the_first_paragraph_is_the_description() -> None:
    def brew(size: int) -> str:
        """Brew coffee.

        A long story of beans.

        Args:
            size: of the cup

        Raises:
            ValueError: no beans
        """
        return ""

    spec = describe(brew, "c.brew")
    assert spec.description == "Brew coffee." and spec.by_name["size"].description == "of the cup"
    brew.__doc__ = "Brew " + "very " * 200 + "good coffee."
    assert len(describe(brew, "c.brew").description) <= 300


@dataclass
class Note:
    """Not the common one."""

    title: str


def test_a_plugin_may_have_a_class_with_a_common_name() -> None:
    def make(x: int) -> Note:
        """Make one."""
        return Note("a")

    name = f"{__name__}.Note"
    assert str(describe(make, "c.make", effect="create").returns) == name == encode(Note("a"))["$type"]
    assert decode_dataclass(encode(Note("a")), {name: Note}) == Note("a")


def test_types_and_what_they_accept() -> None:
    for text in ("list[Photo]", "small|large", "km|", "Spoken", "int"):
        assert str(Type.parse(text)) == text
    files, photos, one = Type.parse("list[File]"), Type.parse("list[Photo]"), Type.parse("Gif")
    assert files.accepts(photos) and not photos.accepts(files) and files.takes(one) and not files.accepts(one)
    assert not Type.parse("Spoken").accepts(Type.parse("Spoken"))


def test_a_right_plan_is_taken_and_hashed() -> None:
    steps = ("p.select", {"count": 5}), ("g.gif", {"photos": "$1"}), ("m.send", {"to": ["Al"], "attachments": ["$2"]})
    check(plan(*steps), TOOLS, said=["gif for al"])
    assert plan(*steps).hash == plan(*steps).hash != plan(*steps[:2]).hash


@pytest.mark.parametrize(
    ("steps", "position", "said"),
    [
        ([("x.y", {})], "step 1", "no tool"),
        ([("g.gif", {"photos": "$1"})], "step 1, argument 'photos'", "not an earlier step"),
        ([("g.gif", {"photos": "$2"}), ("p.select", {})], "step 1, argument 'photos'", "not an earlier step"),
        ([("p.select", {}), ("g.gif", {"photos": "$1"}), ("g.gif", {"photos": "$2"})], "step 3", "is a Gif"),
        ([("p.select", {"count": "5"})], "step 1, argument 'count'", "not of type int"),
        ([("p.select", {"size": 5})], "step 1, argument 'size'", "no such argument"),
        ([("g.gif", {})], "step 1", "lacks its required argument"),
        ([("m.send", {"to": ["Mallory"]})], "step 1, argument 'to', element 1", "was not said"),
        ([("m.send", {"to": "Mallory"})], "step 1, argument 'to'", "must be a list"),
        ([("m.send", {"to": []})], "step 1, argument 'to'", "must not be empty"),
        ([("g.gif", {"photos": "^2"})], "step 1, argument 'photos'", "previous errand has 1"),
        ([("p.select", {})] * 21, "plan", "at most 20"),
    ],
)
def test_faults_are_found_with_their_position(steps, position: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as error:
        check(plan(*steps), TOOLS, said=["tell al"], previous=[Type.parse("Gif")])
    assert error.value.position.startswith(position)


def test_values_travel_as_json() -> None:
    sent = Send([Spoken("Al")], None, [Gif(Path("a.gif"), "a", "image/gif")])
    assert decode_dataclass(encode(sent)) == sent
    assert isinstance(decode("hi", Type("Spoken")), Spoken)
    with pytest.raises(ValueTypeError, match=r"result\[1\]"):
        encode([1, object()])
    with pytest.raises(ValueTypeError, match="argument"):
        decode("5", Type("int"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("reed = []", "unknown key 'reed'"), ("hosts = ['*.org:80']", "host"), ("secrets = ['x']", "secret"),
     ("read = ['../x']", "folder"), ("effects = ['fly']", "effect"), ("read = 'photos'", "list"), ("=", "assistant")],
)  # fmt: skip
def test_bad_manifests_are_explained(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ManifestError, match=said):
        Manifest.load(tmp_path)


def test_a_third_party_module_is_never_imported_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_plugin.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("evil", "evil_plugin", "assistant.tools")
    registry = load_registry(None, [entry])
    assert not registry and "sandbox" in str(registry.plugins["evil"].error) and "evil_plugin" not in sys.modules
    described = [describe(select, "evil.select").to_json()]
    assert list(load_registry(lambda plugin: described, [entry])) == ["evil.select"]
    twins = [*described, describe(select, "evil.Select").to_json()]
    assert "look the same to the model" in str(load_registry(lambda plugin: twins, [entry]).plugins["evil"].error)
    described[0]["effect"] = "send"
    assert "does not declare" in str(load_registry(lambda plugin: described, [entry]).plugins["evil"].error)


def test_settings_name_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text('timezone = "UTC"\nprt = 9\n')
    with pytest.raises(SettingsError, match="line 2: unknown key 'prt'"):
        load_settings(home=tmp_path)
    (tmp_path / "config.toml").write_text("port = 1234\n")
    assert load_settings(home=tmp_path).port == 1234
    monkeypatch.setenv("ASSISTANT_PORT", "99")
    assert load_settings(home=tmp_path).port == 99 and load_settings(home=tmp_path, port=7).port == 7
    monkeypatch.setenv("ASSISTANT_PROT", "1")
    with pytest.raises(SettingsError, match="ASSISTANT_PROT"):
        load_settings(home=tmp_path)
