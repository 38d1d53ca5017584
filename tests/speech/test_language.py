"""What the offline recogniser's language model is made of."""

import io
import json
import math
import random
from collections import Counter

import numpy as np
import pytest
from pocketsphinx import NGramModel

from assistant.speech import phrases, resources, sphinx_engine
from assistant.speech.g2p import pronounce, train
from assistant.speech.language_model import join_phrases, write_arpa
from assistant.speech.lexicon import dictionary, model_path, non_rhotic, pronunciations
from assistant.speech.spoken import cardinal, ordinal, spoken
from assistant.speech.types import Hints
from assistant.training import errands


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("At 9:30, José!", "at nine thirty jose"),
        ("make a GIF of my 5 photos", "make a gif of my five photos"),
        ("the 21st of June 2019", "the twenty first of june twenty nineteen"),
        ("code 4512", "code four five one two"),
        ("Alice's dog", "alice's dog"),
        ("7:05 p.m.", "seven oh five p m"),
        ("3:45 pm, 6:30pm", "three forty five p m six thirty p m"),
        ("1.5 seconds & 20%", "one point five seconds and twenty percent"),
        ("Søren", "soren"),
        ("…", ""),
    ],
)
def test_spoken_form(written, said):
    assert spoken(written) == said


def test_numbers():
    assert [cardinal(n) for n in (0, 13, 20, 99, 100, 342, 5000)] == [
        "zero", "thirteen", "twenty", "ninety nine", "one hundred", "three hundred and forty two", "five thousand",
    ]  # fmt: skip
    assert [ordinal(n) for n in (1, 2, 12, 20, 31)] == ["first", "second", "twelfth", "twentieth", "thirty first"]


def test_probabilities_of_every_history_sum_to_one(tmp_path):
    sentences = {("a", "b", "c"): 3, ("a", "c"): 1, ("b", "b"): 2, ("d",): 1}
    out = io.StringIO()
    write_arpa(sentences, out)
    file = tmp_path / "m.lm"
    file.write_text(out.getvalue())
    model = NGramModel.readfile(str(file))
    ln = math.log(1.0001)
    for history in (["a"], ["b", "a"], ["<s>"], ["d"], ["c", "d"]):
        total = sum(math.exp(model.prob([word, *history]) * ln) for word in ("a", "b", "c", "d", "</s>"))
        assert total == pytest.approx(1, abs=0.01), history
    assert model.prob(["b", "a", "<s>"]) > model.prob(["d", "a", "<s>"])


def test_frequent_neighbours_become_one_token():
    joined = join_phrases({("send", "it", "to", "bob"): 30, ("send", "it"): 30, ("bob",): 5}, 10)
    assert ("send_it",) in joined or ("send_it_to_bob",) in joined
    assert sum(joined.values()) == 65
    assert sorted(" ".join(s).replace("_", " ") for s in joined) == ["bob", "send it", "send it to bob"]


def test_sentences_hold_the_users_people_albums_and_tools():
    hints = Hints(
        contacts=("Zbigniew Nowak",), albums=("Kilimanjaro",), examples=("order 2 large lattes",), vocabulary=("mocha",)
    )
    words = {word for sentence in phrases.sentences(hints) for word in sentence}
    assert {"zbigniew", "nowak", "kilimanjaro", "lattes", "mocha", "yes", "cancel"} <= words
    orders = [s for s in phrases.sentences(hints) if s[0] == "order" and s[2:4] == ("large", "lattes")]
    assert len({s[1] for s in orders}) > 3  # the number stands for all numbers
    assert phrases.sentences(hints) == phrases.sentences(hints)


def test_patterns_of_usual_commands():
    chosen = {" ".join(phrases.vary("(a|b) [c|d (e|f)]", random.Random(seed)).split()) for seed in range(200)}
    assert chosen == {f"{first} {rest}".strip() for first in "ab" for rest in ("", "c", "d e", "d f")}
    assert all(not set("$[]()|=") & set(phrases.vary(line, random.Random(1))) for line in phrases.everyday())


def test_templates_come_from_the_authored_errands(tmp_path):
    said = [
        {"say": "What's {who:name}'s number, pls?"},
        {"before": {"say": "send it to {a0:name}"}, "say": "Not {a0}, {b:name}!"},
        {"say": "4711 at 9:30"},
    ]
    (tmp_path / "builtin-x.jsonl").write_text("".join(json.dumps(errand) + "\n" for errand in said))
    everything = {
        "what's <name>'s number please", "send it to <name>", "not <name> <name>", "four seven one one at nine thirty",
    }  # fmt: skip
    kept = {errand["say"] for errand in [*said, said[1]["before"]] if not resources.held_out(errand["say"])}
    assert len(kept) == len(resources.templates(tmp_path)) and set(resources.templates(tmp_path)) <= everything
    (tmp_path / "words-more-place.txt").write_text("Rio de Janeiro\n")
    (tmp_path / "words-name.txt").write_text("my sister\nOluwaseun\n")
    assert set(resources.slots(tmp_path)) <= {("place", "rio de janeiro"), ("name", "my sister")}


def test_what_is_held_out_is_in_no_template():
    """The rule is copied, since speech must not import training."""
    assert [resources.held_out(str(n)) for n in range(500)] == [errands.held_out(str(n)) for n in range(500)]
    assert 10 < sum(resources.held_out(str(n)) for n in range(500)) < 100


def test_single_words_rival_yes_and_no():
    counts = phrases.consent(["guess", "yes", "alice", *(f"w{n}" for n in range(97))])
    answers = sum(counts[tuple(answer.split())] for answer in (*phrases.YES, *phrases.NO))
    assert 50 <= answers <= 150 and 1 < counts["guess",] < counts["yes",] and counts["alice",] == 1


def test_the_language_model_is_built_anew_when_hints_change(monkeypatch, tmp_path):
    few = {("send", "it", "to", "bob"): 3, ("make", "a", "gif"): 2}
    monkeypatch.setattr(sphinx_engine, "sentences", lambda hints: Counter(few))
    files = sphinx_engine.build(Hints(contacts=("Bob",)), tmp_path)
    stamp = files[0].stat().st_mtime_ns
    assert sphinx_engine.build(Hints(contacts=("Bob",)), tmp_path) == files
    assert files[0].stat().st_mtime_ns == stamp  # taken from the cache
    others = sphinx_engine.build(Hints(contacts=("Bob", "Eve")), tmp_path)
    assert others != files and all(file.is_file() for file in others)
    assert not any(file.exists() for file in files)  # the stale ones are gone
    assert "gif G IH F" in others[2].read_text()


def test_without_contacts_common_names_are_expected():
    words = {word for sentence in phrases.sentences(Hints()) for word in sentence}
    assert {"alice", "ben", "mum"} <= words
    assert not any("<" in word for word in words)


def test_every_word_has_phonemes_of_the_acoustic_model():
    phones = {phone for said in dictionary().values() for way in said for phone in way.split()}
    for token in ("gif", "zbigniew", "babajide's", "slideshow", "make_a_gif", "x", "o'clock", "photos"):
        for way in pronunciations(token):
            assert way and set(way.split()) <= phones, token
    assert (model_path() / "en-us" / "mdef").is_file()
    assert pronunciations("priya's")[0].endswith(" Z")
    assert pronunciations("slideshow")[0] == "S L AY D SH OW"


def test_accents():
    assert non_rhotic("park", "P AA R K") == "P AA K"
    assert non_rhotic("last", "L AE S T") == "L AA S T"
    assert non_rhotic("hurry", "HH ER IY") == "HH AH R IY"
    assert non_rhotic("here", "HH IY R") == "HH IY AH"


def test_letters_to_sounds_learns_what_it_is_shown():
    learned = train([("ship", "SH IH P"), ("shop", "SH AA P"), ("hip", "HH IH P"), ("sip", "S IH P")] * 5)
    assert learned["s"] in ("S", "SH", "")
    assert "sh" in learned or "s" in learned


def test_letters_to_sounds_on_words_of_the_dictionary():
    """Not a test of generalisation (benchmarks/speech.py holds words out): the shipped model is sound."""
    choose = np.random.default_rng(0)
    words = [w for w in dictionary() if w.isalpha() and 4 <= len(w) <= 9]
    chosen = [words[i] for i in choose.integers(0, len(words), 400)]
    right = sum(pronounce(word) in dictionary()[word] for word in chosen)
    assert right / len(chosen) > 0.5
