"""The JSON schema of params.yaml: current, what the demo fulfils, and with the comments of the file as explanations."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from fakeprint import params
from fakeprint.__main__ import main
from fakeprint.params.schema import FILE, schema

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "presets/demo.yaml"
TEXT = DEMO.read_text(encoding="utf-8")


def errors(content: dict[str, Any]) -> list[str]:
    """Where the schema refuses this content; keys as JSON has them, which are texts."""
    found = jsonschema.Draft202012Validator(schema()).iter_errors(json.loads(json.dumps(content)))
    return [".".join(map(str, error.path)) for error in found]


@pytest.mark.slow
def test_the_schema_in_the_repository_is_current() -> None:
    """`fakeprint schema` writes it anew."""
    assert json.loads((ROOT / FILE).read_text(encoding="utf-8")) == schema()


def test_the_demo_s_preset_names_the_schema_beside_it() -> None:
    """`fakeprint use` writes params.yaml from it, so its first line is params.yaml's, too."""
    assert TEXT.startswith(f"# yaml-language-server: $schema={FILE}\n")
    assert json.loads((DEMO.parent / FILE).read_text(encoding="utf-8")) == schema()


@pytest.mark.slow
def test_the_schema_accepts_the_demo_and_refuses_what_params_refuses() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    content = YAML(typ="safe").load(TEXT)
    assert errors(content) == []
    content["model"]["dropout"] = 1.5
    content["train"]["optimizer"] = "adam"
    content["classifiers"]["knn"]["method"] = "knnn"
    content["models"]["two_cnn"]["kernel"] = 4
    assert sorted(errors(content)) == ["classifiers.knn", "model.dropout", "models.two_cnn", "train"]


def test_every_key_has_an_explanation() -> None:
    keys = list(_properties(schema()))
    assert len(keys) > 200
    assert [name for name, content in keys if not content.get("description")] == []


def _properties(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield from node["properties"].items()
        for inner in node.values():
            yield from _properties(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _properties(inner)


def test_comments_and_explanations_say_the_same() -> None:
    """The comment on a key's line is the field's description, so that neither is forgotten when the other changes."""
    settings = params.parse(YAML(typ="safe").load(TEXT))
    compared = 0
    for path, comment in _comments(YAML().load(TEXT)):
        description = _description(settings, path)
        if description is not None:
            assert (path, comment) == (path, description)
            compared += 1
    assert compared > 150


def _comments(block: CommentedMap, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in block.items():
        tokens = block.ca.items.get(key)
        if tokens and tokens[2]:
            yield (*prefix, key), tokens[2].value.splitlines()[0].removeprefix("# ")
        if isinstance(value, CommentedMap):
            yield from _comments(value, (*prefix, key))


def _description(block: Any, path: tuple[str, ...]) -> str | None:
    """Of the field at this path; None where the last step is a name that the user chooses."""
    for number, key in enumerate(path, 1):
        if isinstance(block, dict):
            block, field = block[key], None
        else:
            fields = type(block).model_fields.items()
            name, field = next((name, field) for name, field in fields if key in (name, field.alias))
            block = getattr(block, name)
        if number == len(path):
            return field.description if field else None
    raise AssertionError


@pytest.mark.slow
def test_the_command_writes_the_schema_where_params_yaml_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fakeprint", "schema"])
    with pytest.raises(SystemExit, match="1"):
        main()
    message = "error: schema: there is no params.yaml here; run it in the root of Fakeprint's repository\n"
    assert capsys.readouterr().err == message
    assert not Path(FILE).exists()
    Path("params.yaml").write_text(TEXT, encoding="utf-8")
    main()
    main()
    assert capsys.readouterr().out.splitlines() == [f"{FILE}: written", f"{FILE} is up to date"]
    assert json.loads(Path(FILE).read_text(encoding="utf-8")) == schema()
