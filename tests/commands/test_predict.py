import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fakeprint.predict
from fakeprint import named_models, params
from fakeprint.commands import predict
from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.evaluation.champion import copy_out
from fakeprint.features import extract
from fakeprint.models.classifiers.files import FittedClassifier, describe, save_classifier
from fakeprint.models.classifiers.fitting import fit
from fakeprint.predict import load_model

OPTIONS = {"rgb_hist": {"bins": 3}}


def picture(channel, seed=0):
    image = np.random.default_rng(seed).integers(0, 160, (24, 24, 3), dtype=np.uint8)
    image[:, :, channel % 3] += 60
    return image


def make_models(root, classes):
    """A discriminant analysis of colours as `lda`, and the champion, which is the same."""
    names = [f"generator {label}" for label in classes]
    dataset = Dataset(classes=classes, names=names, image_size=24, resize="squash", max_pixels=10**6)
    settings = params.LDA(method="lda", features=["rgb_hist"], scale="sqrt", augmented=False, shrinkage=0.5)
    labels = np.arange(6 * len(classes)) % len(classes)
    x = extract("rgb_hist", OPTIONS["rgb_hist"], np.stack([picture(c, seed) for seed, c in enumerate(labels)]))
    model = fit(settings, x, labels, x, labels, seed=1, workers=1)
    (root / "lda").mkdir(parents=True)
    save_classifier(root / "lda", FittedClassifier(model, describe("lda", settings, model, OPTIONS, asdict(dataset))))
    copy_out("lda", "test pictures, a simulation", params.Predict(), root)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with models/ and pictures in files/ and files/deep/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    make_models(tmp_path / "models", ["0", "1", "2"])
    (tmp_path / "files" / "deep").mkdir(parents=True)
    Image.fromarray(picture(0, 50)).save("files/red.png")
    Image.fromarray(picture(2, 51)).save("files/deep/blue.PNG")
    (tmp_path / "files" / "notes.txt").write_text("no picture")
    (tmp_path / "files" / ".hidden.png").write_bytes(b"no picture")
    return tmp_path


def call(*arguments):
    parser = argparse.ArgumentParser()
    predict.add_parser(parser.add_subparsers())
    args = parser.parse_args(["predict", *arguments])
    predict.run(args)


def test_json_of_a_folder(workplace, capsys):
    call("files", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["model"] == "lda"
    assert printed["data"] == "test pictures, a simulation"
    assert [(row["image"], row["class"], row["name"]) for row in printed["images"]] == [
        ("files/deep/blue.PNG", "2", "generator 2"),
        ("files/red.png", "0", "generator 0"),
    ]
    wanted = load_model(workplace / "models" / "lda").probabilities(picture(0, 50)[None])[0]
    assert list(printed["images"][1]["probabilities"].values()) == pytest.approx(wanted.tolist())
    assert list(printed["images"][1]["probabilities"]) == ["0", "1", "2"]


def test_table_names_model_data_and_classes(workplace, capsys):
    call("files/red.png", "--model", "lda")
    out = capsys.readouterr().out
    assert "p(generator 2)" in out
    assert "files/red.png" in out
    call("files/red.png")
    assert "lda, trained on: test pictures, a simulation" in capsys.readouterr().out


def test_table_of_many_classes_or_on_a_narrow_terminal_shows_the_two_most_probable(workplace, capsys, monkeypatch):
    make_models(workplace / "many", [str(label) for label in range(9)])
    call("files/red.png", "--models-folder", "many")
    many = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "76")
    call("files/red.png", "files/deep/blue.PNG")
    narrow = capsys.readouterr().out
    for out, images in ((many, 1), (narrow, 2)):
        assert "second" in out
        assert "p(generator" not in out
        assert out.count("generator") == 2 * images
    assert "files/deep/blue.PNG" in narrow
    assert max(map(len, narrow.splitlines())) <= 76


def test_a_file_named_twice_is_predicted_once(workplace, capsys):
    call("files/red.png", "files/red.png", "--json")
    assert len(json.loads(capsys.readouterr().out)["images"]) == 1


def test_unreadable_files_are_named_and_the_others_predicted(workplace, capsys):
    (workplace / "files" / "broken.png").write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:
        call("files", "--json")
    captured = capsys.readouterr()
    assert stopped.value.code == 1
    assert captured.err == "files/broken.png: empty\n"
    assert len(json.loads(captured.out)["images"]) == 2


def test_json_is_what_one_json_dumps_would_print(workplace, capsys):
    call("files", "--json")
    out = capsys.readouterr().out
    assert out == json.dumps(json.loads(out), indent=2, ensure_ascii=False) + "\n"
    with pytest.raises(SystemExit):
        call("files/notes.txt", "--json")
    out = capsys.readouterr().out
    assert out == json.dumps(json.loads(out), indent=2, ensure_ascii=False) + "\n"
    assert json.loads(out)["images"] == []


@pytest.mark.parametrize("form", [["--json"], []])
def test_each_group_is_printed_before_the_next(workplace, capsys, monkeypatch, form):
    for number in range(4):
        Image.fromarray(picture(1, number)).save(f"files/{number}.png")
    printed = []
    real = fakeprint.predict.predict_files

    def watched(model, files, variants):
        for group in real(model, files, variants):
            yield group
            printed.append(capsys.readouterr().out)

    monkeypatch.setattr(fakeprint.predict, "MAX_FILES", 2)
    monkeypatch.setattr(fakeprint.predict, "predict_files", watched)
    call("files", *form)
    groups = [["0.png", "1.png"], ["2.png", "3.png"], ["blue.PNG", "red.png"]]
    assert len(printed) == 3
    for text, names in zip(printed, groups, strict=True):
        assert [name for group in groups for name in group if name in text] == names
    whole = "".join(printed) + capsys.readouterr().out
    if form:
        assert len(json.loads(whole)["images"]) == 6
    else:
        assert whole.count("trained on") == 1


def test_csv(workplace, capsys):
    names = ["plain", "with, comma", "two\nlines", "caf\udce9"]
    for name in names:
        Image.fromarray(picture(2, 52)).save(f"{name}.png")
    (workplace / "broken.png").write_bytes(b"")
    paths = [f"{name}.png" for name in names]
    with pytest.raises(SystemExit):
        call(*paths, "broken.png", "--csv", "deeper/out.csv")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "broken.png: empty\n")
    with Path("deeper/out.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "answer", "class", "name", "p_0", "p_1", "p_2", "score", "set", "reason"]
    assert [row["image"] for row in rows] == paths
    wanted = load_model(workplace / "models" / "lda").probabilities(picture(2, 52)[None])[0].tolist()
    for row in rows:
        assert (row["class"], row["name"]) == ("2", "generator 2")
        assert [float(row[f"p_{label}"]) for label in "012"] == wanted
    assert [path.name for path in Path("deeper").iterdir()] == ["out.csv"]


def test_no_half_written_csv(workplace, monkeypatch):
    def broken(model, files, variants):
        yield from itertools.islice(real(model, files, variants), 1)
        raise InputError("the model is gone")

    real = fakeprint.predict.predict_files
    monkeypatch.setattr(fakeprint.predict, "predict_files", broken)
    Path("out.csv").write_text("of yesterday")
    with pytest.raises(InputError, match="the model is gone"):
        call("files", "--csv", "out.csv")
    assert Path("out.csv").read_text() == "of yesterday"
    assert not list(workplace.glob(".out*"))


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("", "--csv: . is a folder; name a file"),
        ("files", "--csv: files is a folder; name a file"),
        ("a_file/out.csv", "a_file is a file, so a_file/out.csv cannot be below it"),
        ("/dev/null", "--csv: /dev/null is not a regular file; use --json to print the predictions"),
    ],
)
def test_a_csv_file_that_cannot_be_written_is_refused_first(workplace, monkeypatch, file, line):
    monkeypatch.setattr(fakeprint.predict, "load_model", None)
    Path("a_file").write_text("")
    with pytest.raises(InputError) as refused:
        call("files", "--csv", file)
    assert line in str(refused.value)


def test_an_unknown_device_is_refused_for_every_kind_of_model(workplace):
    with pytest.raises(InputError, match=r"^--device: 'cuda:x' is unknown; known: auto, cpu, cuda, cuda:N, mps$"):
        call("files", "--model", "lda", "--device", "cuda:x")


def test_a_csv_file_or_json_and_not_both(workplace, capsys):
    with pytest.raises(SystemExit, match="2"):
        call("files", "--csv", "out.csv", "--json")
    assert "not allowed with argument" in capsys.readouterr().err


def test_json_is_valid_even_where_the_model_fails(workplace, capsys, monkeypatch):
    def broken(model, files, variants):
        yield from itertools.islice(real(model, files, variants), 1)
        raise InputError("the model is gone")

    real = fakeprint.predict.predict_files
    monkeypatch.setattr(fakeprint.predict, "MAX_FILES", 1)
    monkeypatch.setattr(fakeprint.predict, "predict_files", broken)
    with pytest.raises(InputError, match="the model is gone"):
        call("files", "--json")
    assert len(json.loads(capsys.readouterr().out)["images"]) == 1


@pytest.mark.slow
def test_a_closed_pipe_ends_it_without_a_traceback(workplace):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "fakeprint", "predict", "files", "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_files_that_would_hang_or_fill_the_memory_are_named(workplace, capsys):
    hostile = workplace / "hostile"
    hostile.mkdir()
    os.mkfifo(hostile / "pipe.png")
    (hostile / "zero.png").symlink_to("/dev/zero")
    with (hostile / "sparse.png").open("wb") as file:
        file.truncate(5 * 2**30)
    (hostile / "elsewhere").symlink_to(workplace / "files")
    (hostile / "circle").symlink_to(hostile)
    (hostile / "x.png").mkdir()
    Image.fromarray(picture(1)).save(hostile / "x.png" / "fine.png")
    with pytest.raises(SystemExit) as stopped:
        call("hostile", "files/red.png", "/dev/zero", "--json")
    captured = capsys.readouterr()
    assert stopped.value.code == 1
    assert sorted(captured.err.splitlines()) == [
        "/dev/zero: not a regular file",
        "hostile/circle: a link to a folder",
        "hostile/elsewhere: a link to a folder",
        "hostile/pipe.png: not a regular file",
        "hostile/sparse.png: too large",
        "hostile/zero.png: not a regular file",
    ]
    assert [row["image"] for row in json.loads(captured.out)["images"]] == ["hostile/x.png/fine.png", "files/red.png"]


def test_names_are_shown_as_they_are_and_on_one_line(workplace, capsys):
    names = ["[red]x[", "two\nlines", "caf\udce9", "line\u2028break"]
    for name in names:
        Image.fromarray(picture(1)).save(f"{name}.png")
    (workplace / "a\nb.png").write_bytes(b"")
    paths = [f"{name}.png" for name in names]
    call(*paths)
    out = capsys.readouterr().out
    for shown in ("[red]x[.png", r"two\nlines.png", r"caf\udce9.png", r"line\u2028break.png"):
        assert f" {shown} " in out
    with pytest.raises(SystemExit):
        call(*paths, "a\nb.png", "--json")
    captured = capsys.readouterr()
    assert [row["image"] for row in json.loads(captured.out)["images"]] == paths
    captured.out.encode()
    assert captured.err == "a\\nb.png: empty\n"


def test_each_file_once_in_whatever_way_it_is_named(workplace):
    paths = ["files/deep/blue.PNG", "files", "files/red.png", "./files/deep", "files/notes.txt", "files/.hidden.png"]
    found = [str(path) for path, _ in predict.image_files([Path(name) for name in paths])]
    assert found == ["files/deep/blue.PNG", "files/red.png", "files/notes.txt", "files/.hidden.png"]


def test_only_unreadable_files(workplace, capsys):
    with pytest.raises(SystemExit):
        call("files/notes.txt")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "files/notes.txt: not an image\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.png", "files"], r"^no such file or folder: gone\.png$"),
        (["empty"], r"^no images in empty; looked for \.apng, \.bmp, "),
        (
            ["files", "--model", "ldaa"],
            r"^--model: 'ldaa' is neither in models nor a model that comes with Fakeprint; did you mean 'lda'\?$",
        ),
        (
            ["files", "--models-folder", "empty"],
            r"^empty/champion/champion\.json is missing: there is no champion yet, run",
        ),
        (
            ["files", "--models-folder", "empty", "--model", "lda"],
            r"^--model: 'lda' is neither in empty nor a model that comes with Fakeprint; known: champion, unibuc$",
        ),
        (
            ["files", "--models-folder", "gone"],
            r"^there is no folder gone here: run `dvc repro` in the repository, or add --model unibuc$",
        ),
        (
            ["files", "--model", "unibuc", "--device", "gpu"],
            r"^--device: 'gpu' is unknown; known: auto, cpu, cuda, cuda:N, mps$",
        ),
    ],
)
def test_messages(workplace, arguments, message):
    (workplace / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        call(*arguments)


def test_test_time_augmentation_is_that_of_params_yaml_and_for_the_champion_its_own(workplace):
    demo = (Path(__file__).parents[2] / "presets/demo.yaml").read_text()
    assert named_models.test_time_augmentation(Path("models/lda")).tta == "none"
    Path("params.yaml").write_text(demo.replace("tta: none", "tta: flip"))
    assert named_models.test_time_augmentation(Path("models/lda")).tta == "flip"
    Path("params.yaml").write_text("not: [our file")
    assert named_models.test_time_augmentation(Path("models/champion")).tta == "none"
