"""`fakeprint models`: everything that params.yaml can name, with its real sizes."""

import contextlib
import io
import json
import sys
from typing import Any

import pytest

from fakeprint import params
from fakeprint.__main__ import main
from fakeprint.models import networks


@pytest.fixture(scope="module")
def listed() -> dict[str, list[dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", ["fakeprint", "models", "--json"])
        main()
    return json.loads(out.getvalue())


@pytest.mark.slow
def test_lists_all_that_params_can_name(listed: dict[str, list[dict[str, Any]]]) -> None:
    names = {group: {entry["name"] for entry in entries} for group, entries in listed.items()}
    assert names["networks"] == set(params.Models.model_fields)
    assert names["features"] == set(params.Features.model_fields)
    blocks = params.AnyClassifier.__args__[0].__args__
    methods = {kind.model_fields["method"].annotation.__args__[0] for kind in blocks}
    assert names["classifiers"] == methods
    kinds = {kind.model_fields["method"].annotation.__args__[0] for kind in params.Ensemble.__subclasses__()}
    assert names["ensembles"] == kinds
    for entry in (entry for entries in listed.values() for entry in entries):
        assert entry["summary"]
        assert "\n" not in entry["summary"] + entry["source"]


def test_published_sizes(listed: dict[str, list[dict[str, Any]]]) -> None:
    sizes = {entry["name"]: entry for group in ("networks", "ensembles") for entry in listed[group]}
    assert sizes["three_cnn"]["parameters"] == sizes["three_cnn"]["trained"] == 691_781
    assert sizes["skip_cnn"]["parameters"] == 8_695_045
    assert (sizes["four_cnn"]["parameters"], sizes["four_cnn"]["trained"]) == (524_485, 523_525)
    assert (sizes["learned"]["parameters"], sizes["learned"]["trained"]) == (9_387_553, 727)
    assert (sizes["three_cnn"]["input_size"], sizes["four_cnn"]["input_size"]) == (100, 224)


@pytest.mark.slow
def test_one_line_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "models"])
    main()
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[0] == "three_cnn"]
    assert line.endswith("100×100 pixels, 691,781 parameters, 691,781 trained")
    assert len([line for line in lines if line.startswith("  ")]) == len(lines) - 4


def test_layers_of_one_network(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """System A's published sizes and counts, layer for layer."""
    monkeypatch.setattr(sys, "argv", ["fakeprint", "models", "four_cnn", "--json"])
    main()
    printed = json.loads(capsys.readouterr().out)
    convolutions = [layer for layer in printed["layers"] if layer["kind"] == "Conv2d"]
    assert [layer["output"] for layer in convolutions] == [[32, 222, 222], [64, 109, 109], [128, 52, 52], [256, 24, 24]]
    assert [layer["parameters"] for layer in convolutions] == [896, 18_496, 73_856, 295_168]
    assert sum(layer["parameters"] for layer in printed["layers"]) == printed["trained"]
    monkeypatch.setattr(sys, "argv", ["fakeprint", "models", "four_cnn"])
    main()
    out = capsys.readouterr().out
    assert "32×222×222" in out
    assert "18,496" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_has_layers(name: str) -> None:
    layers = networks.layers_of(name)
    assert layers[-1].output == [5]
    assert sum(layer.parameters for layer in {layer.name: layer for layer in layers}.values()) > 0


def test_an_unknown_network(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "models", "three_cn"])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err == "error: models: there is no network 'three_cn'; did you mean 'three_cnn'?\n"
