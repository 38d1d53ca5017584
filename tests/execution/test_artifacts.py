"""The artifact store."""

import threading

import pytest

from assistant.execution.artifacts import HEAD_BYTES, UNKNOWN, ArtifactStore, clean_name, sniff

GIF = b"GIF89a" + bytes(20)


@pytest.fixture
def store(tmp_path):
    store = ArtifactStore(tmp_path / "artifacts")
    yield store
    store.close()


def put(store, tmp_path, content, name):
    source = tmp_path / "source"
    source.write_bytes(content)
    return store.add(source, name)


def test_what_goes_in_comes_out(store, tmp_path):
    kept = put(store, tmp_path, GIF, "party.gif")
    assert (kept.name, kept.media_type, kept.bytes) == ("party.gif", "image/gif", len(GIF))
    assert kept.path.read_bytes() == GIF
    assert kept.path.stat().st_mode & 0o777 == 0o400
    assert store.get(kept.id) == kept


def test_same_contents_lie_once(store, tmp_path):
    one, two = put(store, tmp_path, GIF, "a.gif"), put(store, tmp_path, GIF, "b.gif")
    assert one.id != two.id
    assert one.path == two.path
    store.remove(one.id)
    assert two.path.exists()
    with pytest.raises(KeyError):
        store.get(one.id)
    store.remove(two.id)
    assert not two.path.exists()


def test_ids_cannot_be_guessed_or_lead_elsewhere(store, tmp_path):
    kept = put(store, tmp_path, GIF, "a.gif")
    assert len(kept.id) >= 20
    for wrong in ("", "../index.sqlite", kept.path.stem, kept.id[:-1], "%"):
        with pytest.raises(KeyError):
            store.get(wrong)


def test_it_is_there_after_a_restart(store, tmp_path):
    kept = put(store, tmp_path, GIF, "a.gif")
    again = ArtifactStore(tmp_path / "artifacts")
    assert again.get(kept.id) == kept
    again.close()


def test_several_threads(store, tmp_path):
    def work(i):
        source = tmp_path / f"s{i}"
        source.write_bytes(b"%d" % (i % 3))
        ids.append(store.add(source, f"{i}.txt").id)

    ids: list[str] = []
    threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({store.get(i).path for i in ids}) == 3


def test_prune(store, tmp_path):
    kept = put(store, tmp_path, GIF, "a.gif")
    assert store.prune(older_than_s=3600) == 0
    assert store.prune(older_than_s=-1) == 1
    assert not kept.path.exists()


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"RIFF1234WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x20ftypheic", "image/heic"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\x1a\x45\xdf\xa3....", "video/webm"),
        (b"BEGIN:VCARD\r\n", "text/vcard"),
        ("héllo\n".encode(), "text/plain"),
        (("é" * HEAD_BYTES).encode()[:HEAD_BYTES], "text/plain"),
        (("x" + "é" * HEAD_BYTES).encode()[:HEAD_BYTES], "text/plain"),
        (b"<!doctype html><script>alert(1)</script>", "text/plain"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "text/plain"),
        (b"\x7fELF\x02\x01", UNKNOWN),
        (b"\xff\xfe<\0h\0", UNKNOWN),
        (b"", UNKNOWN),
    ],
)
def test_type_is_what_the_bytes_are(head, media_type):
    assert sniff(head) == media_type


@pytest.mark.parametrize(
    ("name", "media_type", "clean"),
    [
        ("party.gif", "image/gif", "party.gif"),
        ("photo.JPEG", "image/jpeg", "photo.JPEG"),
        ("page.html", "text/plain", "page.txt"),
        ("../../etc/passwd", "text/plain", "passwd.txt"),
        ("..\\..\\evil.exe", UNKNOWN, "evil.bin"),
        ("a\nb\x00\x1b[2J.gif", "image/gif", "ab[2J.gif"),
        ("gpj.\u202egif", "image/gif", "gpj.gif"),
        ("", "image/gif", "file.gif"),
        (".gif", "image/gif", "gif.gif"),
        ("x" * 500 + ".gif", "image/gif", "x" * 116 + ".gif"),
    ],
)
def test_names_fit_to_be_shown(name, media_type, clean):
    assert clean_name(name, media_type) == clean
