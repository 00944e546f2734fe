"""`python -m fakeprint models`: everything that params.yaml can name, told truly."""

import json
import sys

import pytest

from fakeprint import params
from fakeprint.__main__ import main


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "models", *words])
    main()
    return capsys.readouterr().out


def test_lists_all_that_params_can_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(printed(monkeypatch, capsys, "--json"))
    names = {group: {entry["name"] for entry in entries} for group, entries in listed.items()}
    assert names["networks"] == set(params.Models.model_fields)
    assert names["features"] == set(params.Features.model_fields)
    methods = {kind.model_fields["method"].annotation.__args__[0] for kind in params.Classifier.__subclasses__()}
    assert names["classifiers"] == methods
    for entry in (entry for entries in listed.values() for entry in entries):
        assert entry["summary"]
        assert "\n" not in entry["summary"] + entry["source"]


def test_published_sizes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    networks = {entry["name"]: entry for entry in json.loads(printed(monkeypatch, capsys, "--json"))["networks"]}
    assert networks["three_cnn"]["parameters"] == networks["three_cnn"]["trained"] == 691_781
    assert networks["three_cnn"]["input_size"] == 100


def test_one_line_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(monkeypatch, capsys).splitlines()
    (line,) = [line for line in lines if line.split()[0] == "three_cnn"]
    assert line.endswith("100×100 pixels, 691,781 parameters, 691,781 trained")
    assert len([line for line in lines if line.startswith("  ")]) == len(lines) - 3
