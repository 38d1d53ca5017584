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
    monkeypatch.setenv("ASSISTANT_PHOTOS", '["/photos", "/more"]')
    assert load_settings(home=tmp_path).photos == [Path("/photos"), Path("/more")]
    monkeypatch.setenv("ASSISTANT_CHANNELS", "self=ntfy://topic")
    with pytest.raises(SettingsError, match="must be JSON"):
        load_settings(home=tmp_path)


def test_paths_are_absolute_because_tools_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSISTANT_PHOTOS", "photos")
    settings = load_settings(home="data", contacts=["cards.vcf"])
    assert (settings.home, settings.photos) == (tmp_path / "data", [tmp_path / "photos"])
    assert settings.contacts == [tmp_path / "cards.vcf"]


def test_a_time_zone_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(home=tmp_path, timezone="Europe/Berlin").timezone == "Europe/Berlin"
    for wrong in ("Mars/Olympus", "../passwd"):
        monkeypatch.setenv("ASSISTANT_TIMEZONE", wrong)
        with pytest.raises(SettingsError, match=r"ASSISTANT_TIMEZONE.*Europe/Berlin"):
            load_settings(home=tmp_path)
