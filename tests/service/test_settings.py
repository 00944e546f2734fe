"""The settings: docs/service.md lists them as they are, and the environment sets them."""

from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from fakeprint.service.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "service.md"


def default(field: FieldInfo) -> str:
    """As the table shows it."""
    if field.default is None or field.default == ():
        return "–"
    if isinstance(field.default, int | float):
        return f"{field.default:.12g}"
    return f"`{field.default}`"


def test_the_table_has_every_setting_its_default_and_what_it_sets() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `FAKEPRINT_")]
    assert rows == [
        f"| `FAKEPRINT_{name.upper()}` | {default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def test_the_environment_and_a_file_set_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("FAKEPRINT_PORT=8001\nFAKEPRINT_RATE=5/second\nOTHER=1\n")
    monkeypatch.setenv("FAKEPRINT_RATE", "7/second")
    monkeypatch.setenv("FAKEPRINT_CORS_ORIGINS", "https://a, https://b")
    settings = Settings()
    assert (settings.port, settings.rate, settings.cors_origins) == (8001, "7/second", ("https://a", "https://b"))
    assert settings.database_url == f"sqlite:///{tmp_path}/.fakeprint/service/service.db"


def test_passwords_are_not_shown() -> None:
    settings = Settings(database="postgresql+psycopg://user:secret@db/x", tracking_uri="https://user:secret@mlflow")
    assert "secret" not in repr(settings) + str(settings)
