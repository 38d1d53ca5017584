"""Who is meant: the order of matching, and that nothing is guessed."""

import pytest

from assistant.execution.contacts import AddressBook, literal, simple

CARDS = """BEGIN:VCARD
VERSION:4.0
UID:urn:uuid:susan
FN:Susan Brown
N:Brown;Susan;;;
NICKNAME:Sue,Suzie
EMAIL;TYPE=work:susan@work.example
EMAIL;TYPE=home;PREF=1:susan@home.example
TEL;VALUE=uri:tel:+44-1632-960001
RELATED;TYPE=parent;VALUE=text:me
NICKNAME:Mum
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Paul Pipes
N:Pipes;Paul;;;
TITLE:Plumber
TEL;TYPE=CELL:+44 1632 960002
IMPP;X-SERVICE-TYPE=Telegram:telegram:paulpipes
X-SIGNAL:+44 1632 960009
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Stephen King
N:King;Stephen;;;
EMAIL:stephen@example.org
CATEGORIES:Team,Friends
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Zoë Ångström
N:Ångström;Zoë;;;
EMAIL:zoe@example.org
END:VCARD
BEGIN:VCARD
VERSION:3.0
UID:ben1
FN:Ben Miller
N:Miller;Ben;;;
EMAIL:ben@example.org
END:VCARD
BEGIN:VCARD
VERSION:3.0
UID:ben2
FN:Ben Baker
N:Baker;Ben;;;
EMAIL:baker@example.org
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Alice Ben
N:Ben;Alice;;;
NICKNAME:Alicia Keys
END:VCARD
BEGIN:VCARD
VERSION:4.0
KIND:group
FN:The Chess Club
MEMBER:urn:uuid:susan
MEMBER:ben1
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:J=C3=BCrgen Vogt
this line is broken
N:Vogt;Jürgen;;;
END:VCARD
BEGIN:VCARD
VERSION:4.0
FN:Me Myself
X-ME:1
RELATED;TYPE=sibling;VALUE=text:Stephen King
END:VCARD
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contacts")
    (folder / "all.vcf").write_text(CARDS)
    (folder / "broken.vcf").write_bytes(b"\xff\xfe\0BEGIN:VCARD\nnonsense")
    return AddressBook([folder, folder / "absent"])


def names(match):
    return [p.name for p in match.people], [p.name for p in match.several]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Susan Brown", "Susan Brown"),
        ("susan", "Susan Brown"),
        ("Suzie", "Susan Brown"),
        ("my mum", "Susan Brown"),
        ("Mother", "Susan Brown"),
        ("parent", "Susan Brown"),
        ("the plumber", "Paul Pipes"),
        ("Paul's", "Paul Pipes"),
        ("Steven", "Stephen King"),  # close spelling
        ("sibling", "Stephen King"),  # named by the user's own card
        ("zoe", "Zoë Ångström"),
        ("Zoey", "Zoë Ångström"),
        ("Angstrom", "Zoë Ångström"),
        ("Ben Miller", "Ben Miller"),
        ("Ben Milner", "Ben Miller"),
        ("Jurgen", "Jürgen Vogt"),
        ("Mr. King", "Stephen King"),
    ],
)
def test_found(book, words, found):
    assert names(book.match(words)) == ([found], [])


def test_two_are_a_question(book):
    # A given name and a family name are found the same way, so all three Bens are offered and none is chosen.
    assert names(book.match("Ben")) == ([], ["Ben Miller", "Ben Baker", "Alice Ben"])
    assert [p.label for p in book.match("Ben").several[:2]] == [
        "Ben Miller (ben@example.org)",
        "Ben Baker (baker@example.org)",
    ]


def test_a_nickname_or_a_whole_name_does_not_outdo_a_given_name(tmp_path):
    cards = [
        ("Benjamin Ortiz", "NICKNAME:Ben"),
        ("Ben Baker", "N:Baker;Ben;;;"),
        ("Ada", "N:;Ada;;;"),
        ("Ada Cole", "N:Cole;Ada;;;"),
    ]
    text = "".join(f"BEGIN:VCARD\nVERSION:3.0\nFN:{name}\n{line}\nEND:VCARD\n" for name, line in cards)
    (tmp_path / "all.VCF").write_text(text)
    book = AddressBook([tmp_path])
    assert names(book.match("Ben")) == ([], ["Benjamin Ortiz", "Ben Baker"])
    assert names(book.match("Ada")) == ([], ["Ada", "Ada Cole"])
    assert names(book.match("Ben Baker")) == (["Ben Baker"], [])


def test_a_broken_card_costs_no_other(tmp_path):
    cards = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ann Lee\r\nBEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ben Low\r\nEND:VCARD\r\n"
    photo = "BEGIN:VCARD\nVERSION:3.0\nFN:Cy\nPHOTO;ENCODING=b:!!secret!!\nEND:VCARD\n"
    (tmp_path / "all.vcf").write_text(cards + photo + cards[cards.rindex("BEGIN") :].replace("Ben Low", "Di Fox"))
    book = AddressBook([tmp_path])
    assert {"Ben Low", "Di Fox"} <= {p.name for p in book.people}
    assert any("card 1 cannot be read" in p for p in book.problems) and "secret" not in str(book.problems)


def test_nobody_gives_the_nearest(book):
    match = book.match("Bert Mueller")
    assert names(match) == ([], []) and match.nearest[0].name == "Ben Miller"
    assert book.match("xqzw").nearest == ()
    assert names(book.match("  ")) == ([], [])


@pytest.mark.parametrize("words", ["all", "everyone", "all contacts", "them", "it"])
def test_everyday_words_are_no_names(tmp_path, words):
    file = tmp_path / "c.vcf"
    file.write_text("BEGIN:VCARD\nVERSION:3.0\nFN:Alice Chen\nNICKNAME:Ali,Ev\nEND:VCARD\n")
    match = AddressBook([file]).match(words)
    assert match.people == match.several == ()


def test_groups(book):
    assert names(book.match("the chess club"))[0] == ["Susan Brown", "Ben Miller"]
    assert names(book.match("everyone in my team"))[0] == ["Stephen King"]


def test_addresses(book):
    susan, paul = book.match("Susan").people[0], book.match("Paul Pipes").people[0]
    assert susan.emails == ("susan@home.example", "susan@work.example")  # the preferred one first
    assert susan.phones == ("+44-1632-960001",)
    assert paul.handles == {"telegram": "paulpipes", "signal": "+44 1632 960009"}


def test_problems_are_told(book):
    assert any("absent" in p for p in book.problems) and book.people


def test_changes_are_seen(tmp_path):
    file = tmp_path / "c.vcf"
    book = AddressBook([file])
    assert book.people == []
    file.write_text("BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nEND:VCARD\n")
    assert names(book.match("Ann"))[0] == ["Ann"]


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("ann@example.org", "ann@example.org"),
        ("ann at example dot org", "ann@example.org"),
        ("+44 1632 960001.", "+44 1632 960001"),
        ("Ann", None),
        ("12", None),
        ("a@b", None),
        ("ann@example.org\nBcc: eve@example.org", None),
    ],
)
def test_literal(words, address):
    assert literal(words) == address


def test_simple():
    assert simple("  To  my Mum's ") == "mum"
    assert simple("Dr. Müller,") == "muller"
