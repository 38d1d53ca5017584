from __future__ import annotations

from pathlib import Path

import pytest

from assistant.config import SettingsError, load_settings


def test_faults_are_shown_where_they_are(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for text, line in (
        ('model_devices = 1\nmodel = 7\n', 2),
        ('# port and other things\n\nport = "high"\n', 3),
        ('timezone = "Europe/Berlin"\n[channels]\nme = 5\n', 2),
        ('host = "localhost"\nmode = "fast"\n', 2),
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(SettingsError, match=rf"config\.toml, line {line}: "):
            load_settings(home=tmp_path)


def test_lists_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_ALLOWED_HOSTS", "assistant.example.org, nas.local")
    monkeypatch.setenv("ASSISTANT_PHOTOS", "/photos:/more")
    settings = load_settings(home=tmp_path)
    assert settings.allowed_hosts == ["assistant.example.org", "nas.local"]
    assert settings.photos == [Path("/photos"), Path("/more")]
    monkeypatch.setenv("ASSISTANT_CHANNELS", "self=ntfy://topic")
    with pytest.raises(SettingsError, match="must be JSON"):
        load_settings(home=tmp_path)
