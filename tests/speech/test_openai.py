import json

from assistant.speech.openai import _render, biased
from assistant.speech.subtitles import lines, srt, vtt
from assistant.speech.types import Hints, Transcript, Word
from assistant.speech.whisper_engine import prompt

WORDS = tuple(Word(f"word{n}", n * 0.5, n * 0.5 + 0.4, 0.9) for n in range(20))
LONG = Transcript(" ".join(w.word for w in WORDS), "en", 0.9, "whisper:base", WORDS, 10.0)
PLAIN = Transcript("hello there", "en", 0.5, "pocketsphinx", (), 1.25)


def test_subtitles_break_long_texts():
    found = lines(LONG)
    assert " ".join(text for _, _, text in found) == LONG.text
    assert len(found) == 2 and all(end - start <= 7 for start, end, _ in found)
    assert lines(PLAIN) == [(0.0, 1.25, "hello there")]


def test_scripts_without_spaces_get_none():
    said = ("把", "照片", "发给", "Alice。", "然后", "Ben", "Okafor", "也", "要")
    words = tuple(Word(w, n, n + 0.9, 0.9) for n, w in enumerate(said))
    written = Transcript("把照片发给Alice。 然后Ben Okafor也要", "zh", 0.9, "whisper:base", words, 9.0)
    assert [text for _, _, text in lines(written)] == ["把照片发给Alice。 然后Ben Okafor", "也要"]
    other = Transcript("something else", "zh", 0.9, "whisper:base", words, 9.0)
    assert lines(other)[1][2] == "也 要"


def test_srt_and_vtt():
    assert srt(PLAIN) == "1\n00:00:00,000 --> 00:00:01,250\nhello there\n"
    assert vtt(PLAIN) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nhello there\n"
    assert srt(LONG).count("-->") == 2 and "\n\n2\n" in srt(LONG)


def test_every_format_is_rendered():
    assert json.loads(_render(PLAIN, "json", []).body) == {"text": "hello there"}
    assert _render(PLAIN, "text", []).body == b"hello there\n"
    assert _render(LONG, "vtt", []).headers["content-type"].startswith("text/vtt")
    verbose = json.loads(_render(LONG, "verbose_json", ["word"]).body)
    assert verbose["engine"] == "whisper:base" and len(verbose["words"]) == 20 and "segments" not in verbose


def test_the_prompt_of_a_request_comes_before_the_tools_words():
    hints = Hints(vocabulary=tuple(f"word{n}" for n in range(50)))
    assert "Zoltan, Kilimanjaro" in prompt(biased(hints, "Zoltan, Kilimanjaro"))
    long = "A conversation of Zoltan and Petra about " + "the plans for the spring " * 30
    assert "A conversation of Zoltan and Petra" in prompt(biased(hints, long))
    assert biased(hints, " ") == hints
