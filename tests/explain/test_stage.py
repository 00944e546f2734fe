"""The stage and the command on real arrays, models and files."""

import csv
import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.__main__ import main
from fakeprint.data.arrays import save_index
from fakeprint.digests import md5
from fakeprint.evaluation.predictions import CALIBRATED, load_predictions
from fakeprint.explain.explanation import decided
from fakeprint.files import read_json, write_json
from fakeprint.predict import load_model
from fakeprint.tracking import evaluated
from fakeprint.verdict.calibration import Raw
from fakeprint.verdict.certificate import Certificate
from fakeprint.verdict.decision import Decision, Unknown
from stages import explain
from tests.explain.chromium import BROWSER, opened
from tests.explain.conftest import CLASSES, HOSTILE, SWAPPED, content_of, pictures_of
from tests.samples import index_rows


def stage(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["explain", name])
    explain.main()
    return content_of(Path(f"reports/explain/{name}/page.html"))


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "explain", *arguments])
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


@pytest.mark.slow
def test_a_classifier(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = stage("lda", monkeypatch)
    items = page["data"]
    assert len(items) == 30
    assert sorted(each["id"] for each in items[:2]) == sorted(f"v{number}" for number in SWAPPED)
    assert all(each["label"] != each["answer"] for each in items[:2])
    assert [each["label"] == each["answer"] for each in items[2:]] == [True] * 28
    margins = [np.diff(np.sort(each["p"])[-2:])[0] for each in items[2:]]
    assert margins == sorted(margins)
    assert page["head"]["pair"]["text"].startswith("Of ")
    for each in items:
        assert [name for name, _ in each["effects"]] == ["hsv_hist", "spectrum"]
        assert each["effects"][0][1] > abs(each["effects"][1][1])  # the colours hold the class
        near = [page["train"][str(row)]["label"] for row, _ in each["near"]]
        assert near == [each["answer"]] * 3
        assert "map" not in each and "members" not in each
    with Path("reports/explain/lda/suspects.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["image_id"] for row in rows) == sorted(f"v{number}" for number in SWAPPED)
    for row in rows:
        number = int(row["image_id"][1:])
        assert row["suggested"] == CLASSES[number % 3] and row["label"] == CLASSES[(number + 1) % 3]
        assert (row["split"], row["verdict"]) == ("validation", "")
    marked = [each["id"] for each in items if "suspect" in each]
    assert sorted(marked) == sorted(row["image_id"] for row in rows)


@pytest.mark.slow
def test_features_on_disk_give_what_extraction_gives(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage("lda", monkeypatch)
    with_files = Path("reports/explain/lda/page.html").read_bytes()
    shutil.rmtree("data/features")
    stage("lda", monkeypatch)
    assert Path("reports/explain/lda/page.html").read_bytes() == with_files


@pytest.mark.slow
def test_a_network(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = stage("trace_net", monkeypatch)
    assert all("map" in each and "effects" not in each and len(each["near"]) == 3 for each in page["data"])
    notes = dict(page["head"]["notes"])
    assert "layer stages.4.0 of trace_net" in notes["Grad-CAM"]
    assert notes["Nearest train images"] == "By Euclidean distance between the penultimate features of trace_net."


@pytest.mark.slow
def test_an_ensemble_shows_its_members(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = stage("average", monkeypatch)
    images = np.load("data/arrays/validation.npy")
    own = {name: load_model(Path("models") / name, 1).probabilities(images) for name in ("lda", "trace_net")}
    for each in page["data"]:
        assert {"map", "effects", "near", "members"} <= set(each)
        for name, answer, p in each["members"]:
            expected = own[name][int(each["id"][1:])]
            assert answer == expected.argmax() and p == pytest.approx(expected.max(), abs=1e-4)
    assert "lda, the member with the largest weight" in dict(page["head"]["notes"])["Nearest train images"]


def certified_from(threshold: float) -> Certificate:
    return Certificate(threshold, images=30, answered=15, errors=0, bound=0.18, max_error=0.2, confidence=0.95)


@pytest.mark.slow
def test_the_champion_s_answers(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decision file says from which probability it answers; other models have none."""
    scores = load_predictions("average", CLASSES, "validation", CALIBRATED).probabilities.max(axis=1)
    certificate = certified_from(float(np.median(scores)))
    decision = Decision(Raw(), certificate)
    write_json("models/champion/decision.json", decision.as_json())
    page = stage("average", monkeypatch)
    for each in page["data"]:
        assert each["decision"] == ("label" if scores[int(each["id"][1:])] >= certificate.threshold else "unsure")
    assert {each["decision"] for each in page["data"]} == {"label", "unsure"}
    assert certificate.line in dict(page["head"]["notes"])["Answer"]
    assert command(monkeypatch, "champion", "--output", "out") == 0
    assert content_of(Path("out/page.html"))["data"] == page["data"]
    assert all("decision" not in each for each in stage("lda", monkeypatch)["data"])


def test_no_answer_is_shown_that_predict_would_not_give() -> None:
    """With variants of images, or scores of unknown generators, probabilities alone do not say."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
    certified = Decision(Raw(), certified_from(0.8))
    assert decided(certified, probabilities).tolist() == ["label", "unsure"]
    assert decided(replace(certified, consistency=True), probabilities) is None
    assert decided(replace(certified, unknown=Unknown("energy", 1.0)), probabilities) is None
    by_probability = replace(certified, unknown=Unknown("max_probability", -1.0))  # below 0.73
    assert decided(by_probability, probabilities).tolist() == ["label", "unknown"]
    assert decided(Decision(Raw()), probabilities) is None


@pytest.mark.slow
def test_the_same_bytes_again_and_their_digests(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage("average", monkeypatch)
    folder = Path("reports/explain/average")
    first = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    stage("average", monkeypatch)
    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()} == first
    assert set(first) == {"page.html", "suspects.csv"}
    # what `track` logs of the model besides its evaluation
    logged = evaluated._page(params.load(), "average")
    assert logged == {f"{folder}/{name}": md5(folder / name) for name in ("page.html", "suspects.csv")}
    change("models", ["lda"])
    assert evaluated._page(params.load(), "average") == {}


def change(key: str, value: object) -> None:
    content = YAML(typ="safe").load(Path("params.yaml").read_text())
    content["explain"][key] = value
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)


def test_fewer_images_and_no_neighbours(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change("images", 5)
    change("neighbours", 0)
    page = stage("lda", monkeypatch)
    assert len(page["data"]) == 5 and page["train"] == {}
    assert all("near" not in each and "effects" in each for each in page["data"])
    assert page["head"]["summary"].startswith("5 of 30 images, 2 of 30 labelled ones answered wrongly.")


@pytest.mark.slow
def test_suspects_of_train_come_from_other_folds(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = pd.read_parquet("data/arrays/train.parquet")
    index.loc[[8, 31], "class"] = (index.loc[[8, 31], "class"] + 1) % 3
    index.to_parquet("data/arrays/train.parquet")
    change("folds", 4)
    stage("lda", monkeypatch)
    table = pd.read_csv("reports/explain/lda/suspects.csv")
    assert sorted(table.loc[table["split"] == "train", "image_id"]) == ["t31", "t8"]
    assert (table["split"] == "validation").sum() == 2
    stage("trace_net", monkeypatch)  # no fits of a network
    assert set(pd.read_csv("reports/explain/trace_net/suspects.csv")["split"]) <= {"validation"}


@pytest.mark.slow
def test_the_command_on_validation(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage("average", monkeypatch)
    assert command(monkeypatch, "champion", "--output", "out") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "out/page.html"
    ours, theirs = (content_of(Path(f"{folder}/page.html")) for folder in ("out", "reports/explain/average"))
    assert ours["head"]["probabilities"] == theirs["head"]["probabilities"] == "Calibrated probabilities"
    assert ours["data"] == theirs["data"] and ours["train"] == theirs["train"]
    assert Path("out/suspects.csv").read_bytes() == Path("reports/explain/average/suspects.csv").read_bytes()


@pytest.fixture
def files(workplace: Path) -> Path:
    """Pictures with hostile names, and one that is none."""
    folder = workplace / "files"
    folder.mkdir()
    for number, name in enumerate(("plain.png", "<img src=x onerror=alert(1)>.png", "'\"&.png")):
        Image.fromarray(pictures_of(np.array([number]), 9)[0]).resize((50, 40)).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.mark.slow
def test_the_command_on_files(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(monkeypatch, "average", "files") == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("files/broken.png: ") and printed.err.count("\n") == 1
    page = content_of(Path("explained/average/page.html"))
    assert sorted(each["id"] for each in page["data"]) == sorted(
        f"files/{name}" for name in ("plain.png", "<img src=x onerror=alert(1)>.png", "'\"&.png")
    )
    assert all(each["label"] == -1 and len(each["near"]) == 3 for each in page["data"])
    assert page["head"]["pair"] is None and page["head"]["summary"].startswith("3 images. ")
    assert not Path("explained/average/suspects.csv").exists()
    text = Path("explained/average/page.html").read_text(encoding="utf-8")
    assert HOSTILE not in text and "<img src=x" not in text


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lda", "trace_net", "average"])
def test_files_of_which_none_is_an_image_make_an_empty_page(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    (workplace / "broken.png").write_bytes(b"no picture")
    assert command(monkeypatch, model, "broken.png") == 1
    assert capsys.readouterr().err.splitlines() == ["broken.png: not an image"]
    page = content_of(Path(f"explained/{model}/page.html"))
    assert page["data"] == [] and page["head"]["summary"].startswith("0 images. ")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
def test_a_page_of_files_opens(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, "average", "files")
    with opened(Path("explained/average/page.html")) as page:
        assert page.run("document.querySelectorAll('article').length") == 3
        assert page.run("document.getElementById('pair').hidden") is True
        buttons = page.run("[...document.querySelectorAll('[data-outcome]')].map(each => each.dataset.outcome)")
        assert buttons == ["all"]  # without labels there is nothing else to filter by
        assert page.errors == []


@pytest.mark.slow
def test_a_shipped_model_without_train_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pictures_of(np.array([1]), 3)[0]).resize((200, 120)).save("one.png")
    assert command(monkeypatch, "unibuc", "one.png", "--output", "out", "--device", "cpu") == 0
    page = content_of(Path("out/page.html"))
    (item,) = page["data"]
    assert page["head"]["probabilities"] == "Calibrated probabilities"
    assert "map" in item and "near" not in item and len(item["p"]) == 5
    assert "no train images" in dict(page["head"]["notes"])["Nearest train images"]
    assert command(monkeypatch, "unibuc") == 1
    assert capsys.readouterr().err == (
        "error: there are no validation images of unibuc's classes and size in data/arrays: name image files\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ldaa"], "MODEL: 'ldaa' is neither in models nor a model that comes with Fakeprint; did you mean 'lda'?"),
        (["lda", "nowhere.png"], "no such file or folder: nowhere.png"),
        (["lda", "--device", "gpu"], "--device: 'gpu' is unknown; known: auto, cpu, cuda, cuda:N, mps"),
        (["lda", "--most", "0"], "--most: 0 is too few; give 1 or more"),
        (["lda", "--neighbours", "11"], "--neighbours: 11 is not from 0 to 10"),
        (["lda", "--output", "params.yaml"], "--output: params.yaml is a file; name a folder"),
        (["lda", "--output", "params.yaml/in/it"], "--output: params.yaml is a file; name a folder"),
    ],
)
def test_what_cannot_be_is_one_line(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert command(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("pytorch_grad_cam", "explain: maps need the package grad-cam: `pip install 'fakeprint[explain]'`"),
        ("cleanlab.filter", "explain: suspected labels need the package cleanlab: `pip install 'fakeprint[explain]'`"),
    ],
)
def test_a_missing_package_is_one_line(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert command(monkeypatch, "trace_net") == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {message}"
    assert not Path("explained/trace_net/page.html").exists()


def test_a_model_of_crops_is_refused(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    description = read_json("models/lda/model.json")
    description["dataset"] |= {"resize": "native", "small": "mirror"}
    write_json("models/lda/model.json", description)
    assert command(monkeypatch, "lda") == 1
    assert capsys.readouterr().err == (
        "error: explain: lda answers by crops (prepare.resize: native), which are not explained; `fakeprint predict "
        "--map FOLDER` shows the answer of each\n"
    )


def test_predictions_of_other_images_are_refused(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many: another fold, say, of which only `prepare` was run."""
    save_index("validation", index_rows(np.arange(30) % 3, CLASSES, "w"), CLASSES)
    assert command(monkeypatch, "lda") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: data/calibrated/lda.parquet is not of the images in data/arrays: run `dvc repro`"
    )


@pytest.mark.slow
def test_arrays_of_other_images_are_no_neighbours(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped model's classes are others than those of data/arrays."""
    Image.fromarray(pictures_of(np.array([1]), 3)[0]).save("one.png")
    assert command(monkeypatch, "unibuc", "one.png", "--device", "cpu") == 0
    assert content_of(Path("explained/unibuc/page.html"))["train"] == {}
