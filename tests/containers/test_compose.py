"""compose.yaml: it is what the specification allows, closed, and fits the Dockerfile and the settings.

The schema in `compose-spec` is that of the Compose Specification (Apache License 2.0, beside it).
"""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from containers import dockerfile
from fakeprint.service.bot.settings import PREFIX, BotSettings
from fakeprint.service.settings import Settings

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "compose-spec" / "compose-spec.json").read_text(encoding="utf-8"))
COMPOSE = YAML(typ="safe").load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STAGES = dockerfile.parse((ROOT / "Dockerfile").read_text(encoding="utf-8"))
OWN = [name for name, service in SERVICES.items() if "build" in service]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def test_the_specification_allows_it() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    wrong = COMPOSE | {"services": {"api": {**SERVICES["api"], "ports": "8000"}}}
    assert "'8000' is not of type 'array'" in next(validator.iter_errors(wrong)).message


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_closed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert any(place.startswith("/tmp:") for place in service["tmpfs"])
    assert "build" in service or service["user"] == "postgres"  # the Dockerfile's user is tested with it


@pytest.mark.parametrize("name", OWN)
def test_every_target_and_port_is_the_dockerfiles(name: str) -> None:
    service = SERVICES[name]
    found = dockerfile.config(STAGES, service["build"]["target"])
    inner = [int(port.rpartition(":")[2]) for port in service.get("ports", [])]
    assert inner == found.ports
    assert (ROOT / service["build"]["context"]).is_dir()
    for volume in service.get("volumes", []):
        source, _, place = volume.partition(":")
        assert source in COMPOSE["volumes"]
        assert place == found.folder


def test_who_waits_for_health_waits_for_something_that_has_it() -> None:
    for service in SERVICES.values():
        for other in service.get("depends_on", {}):
            target = SERVICES[other].get("build", {}).get("target")
            assert "healthcheck" in SERVICES[other] or dockerfile.config(STAGES, target).health, other
    assert SERVICES["bot"]["profiles"] == ["bot"]
    assert not [name for name, service in SERVICES.items() if "bot" in service.get("depends_on", {})]


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("TOKEN|PASSWORD|SECRET|KEY$", variable):
            match = VARIABLE.fullmatch(value)
            assert match and (match[2], match[3]) in (("-", ""), ("?", "set it in .env, of letters and digits")), (
                variable
            )
        elif "DATABASE" in variable:
            assert re.search(r"://fakeprint:\$\{POSTGRES_PASSWORD:\?[^}]+\}@postgres:5432/fakeprint$", value)


@pytest.mark.parametrize("name", OWN)
def test_the_settings_are_known_and_can_be_used(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose starts it with nothing set but a password and a token."""
    monkeypatch.chdir(tmp_path)
    given = {"POSTGRES_PASSWORD": "word", "FAKEPRINT_BOT_TOKEN": "1:a"}
    environment = dockerfile.config(STAGES, SERVICES[name]["build"]["target"]).environment
    environment |= {
        variable: VARIABLE.sub(lambda found: given.get(found[1]) or (found[3] if found[2] == "-" else ""), value)
        for variable, value in SERVICES[name].get("environment", {}).items()
    }
    own = {variable for variable in environment if variable.startswith("FAKEPRINT_")} - {"FAKEPRINT_KEY"}
    settings, prefix = (BotSettings, PREFIX) if name == "bot" else (Settings, "FAKEPRINT_")
    assert {variable.removeprefix(prefix).lower() for variable in own} <= set(settings.model_fields)
    for variable in own:
        monkeypatch.setenv(variable, environment[variable])
    loaded = settings()
    if name == "api":
        assert loaded.host == "0.0.0.0" and loaded.workers == 0 and not loaded.keys_required
        assert loaded.database_url == "postgresql+psycopg://fakeprint:word@postgres:5432/fakeprint"
    if name == "bot":
        assert (loaded.api, loaded.api_key, loaded.chats) == ("http://api:8000", None, ())


def test_mlflow_answers_to_the_name_that_the_others_use() -> None:
    allowed = SERVICES["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for name in ("api", "worker"):
        assert SERVICES[name]["environment"]["FAKEPRINT_TRACKING_URI"] == f"http://{allowed[0]}"
