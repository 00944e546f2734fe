"""`fakeprint verify` on a champion's folder: what matches, and one clear line for whatever does not."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from tests.commands.test_predict import picture

Verify = Callable[..., Any]


def edit(champion: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit the card, as its author or a stranger could."""
    card = json.loads((champion / "card.json").read_text())
    change(card)
    (champion / "card.json").write_text(json.dumps(card))


def test_a_folder_as_recorded_matches(champion: Path, source: Path, verify: Verify) -> None:
    said = verify(champion, "--data", source)
    assert (said.code, said.err) == (0, [])
    assert said.out[-1] == "match"
    assert {line.split()[0] for line in said.out if line.startswith("  ")} == {"match"}
    assert said.line("match images the 9") == "match images the 9 recorded images"
    assert said.line("match accuracy") == "match accuracy 0.7778"  # two of nine labels are wrong
    assert said.line("match recall of generator 0") == "match recall of generator 0 1.0000"


def test_json_has_every_file_and_figure(champion: Path, source: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"]["figures"]["accuracy"].update(value=0.9))
    said = verify(champion, "--data", source, "--json")
    report = json.loads("\n".join(said.out))
    assert (said.code, report["match"], report["model"], report["not_checked"]) == (1, False, "lda", [])
    assert [(file["name"], file["status"]) for file in report["files"]] == [
        ("champion.json", "match"),
        ("lda/classifier.skops", "match"),
        ("lda/model.json", "match"),
    ]
    on_data, drawn = report["figures"]
    (accuracy,) = [each for each in on_data["figures"] if each["name"] == "accuracy"]
    assert accuracy.pop("measured") == pytest.approx(7 / 9)
    assert accuracy.pop("difference") == pytest.approx(7 / 9 - 0.9)
    assert accuracy == {"name": "accuracy", "recorded": 0.9, "digits": 4, "status": "differs"}
    assert (on_data["match"], drawn["match"], len(drawn["figures"])) == (False, True, 5 * 3)


def test_without_data_the_drawn_pictures_are_compared_and_the_rest_is_named(champion: Path, verify: Verify) -> None:
    said = verify(champion)
    assert said.code == 0
    assert said.line("match images") == "match images the 5 recorded pictures"
    assert said.out[-2:] == [
        "not checked: the figures on test pictures, a simulation: give the images with --data PATH",
        "match",
    ]


def test_one_changed_byte_of_the_weights(champion: Path, verify: Verify) -> None:
    weights = champion / "lda/classifier.skops"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    said = verify(champion)
    assert said.code == 1
    line = said.line("changed lda/classifier.skops")
    assert line.startswith("changed lda/classifier.skops sha256 ")
    assert "…, the card says " in line
    assert said.out[-1].startswith("differs: 1 of 3 files (lda/classifier.skops)")


def test_a_longer_a_missing_and_an_extra_file(champion: Path, verify: Verify) -> None:
    length = (champion / "champion.json").stat().st_size
    with (champion / "champion.json").open("a") as file:
        file.write("\n")
    (champion / "notes.txt").write_text("added later")
    said = verify(champion)
    assert said.line("changed") == f"changed champion.json {length + 1} bytes, the card says {length}"
    assert said.line("extra") == "extra notes.txt the card does not list it"
    assert (said.code, said.out[-1]) == (1, "differs: 2 of 4 files (champion.json, notes.txt)")
    (champion / "lda/classifier.skops").unlink()
    said = verify(champion)
    assert said.line("missing") == "missing lda/classifier.skops the card lists it, the folder does not have it"
    assert "not measured: " in said.line("differs figures")
    assert "classifier.skops cannot be read (No such file or directory)" in said.line("differs figures")


def test_a_figure_that_differs_is_shown_with_a_digit_more(champion: Path, source: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"]["figures"]["accuracy"].update(value=0.7779))
    said = verify(champion, "--data", source)
    assert said.line("differs accuracy") == "differs accuracy 0.77778, the card says 0.7779: -0.00012"
    assert (said.code, said.out[-1]) == (1, "differs: 1 of 11 figures (accuracy)")


def test_fewer_digits_on_the_card_allow_more(champion: Path, source: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"]["figures"]["accuracy"].update(value=0.78, digits=2))
    assert verify(champion, "--data", source).line("match accuracy") == "match accuracy 0.78"


def test_a_figure_that_is_not_there_any_more(champion: Path, source: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"]["figures"].update({"recall of none": {"value": 0.5, "digits": 1}}))
    line = verify(champion, "--data", source).line("differs recall of none")
    assert line == "differs recall of none not defined on these images, the card says 0.5"


def test_an_answer_that_differs(champion: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["sample"]["answers"]["small.png"].__setitem__(0, 0.123))
    said = verify(champion)
    assert ", the card says 0.123: " in said.line("differs small.png, p(generator 0)")
    assert (said.code, said.out[-1]) == (1, "differs: 1 of 15 figures (small.png, p(generator 0))")


def test_other_pixels_are_distinguished_from_another_model(champion: Path, source: Path, verify: Verify) -> None:
    Image.fromarray(picture(0, 999)).save(source / "validation/v0.png")
    said = verify(champion, "--data", source)
    assert said.line("differs images") == "differs images 9 images with other pixels than the recorded ones"
    assert said.line("differs figures") == "differs figures not measured: these are not the recorded images"
    assert said.code == 1
    assert said.out[-1] == "differs: no figures on test pictures, a simulation, validation"


@pytest.mark.slow
def test_fewer_images_other_labels_and_other_names(champion: Path, source: Path, verify: Verify) -> None:
    listed = pd.read_csv(source / "validation.csv", dtype=str)
    listed.iloc[:-1].to_csv(source / "validation.csv", index=False)
    assert verify(champion, "--data", source).line("differs images") == "differs images 8 images, the card says 9"
    listed.assign(label=["1", *listed["label"][1:]]).to_csv(source / "validation.csv", index=False)
    said = verify(champion, "--data", source)
    assert said.line("differs images") == "differs images the 9 recorded images, but with other labels"
    listed.assign(image_id=[f"new{name}" for name in listed["image_id"]]).to_csv(source / "validation.csv", index=False)
    for file in (source / "validation").iterdir():
        file.rename(file.with_name(f"new{file.name}"))
    said = verify(champion, "--data", source)
    assert (said.code, said.line("match images the 9")) == (0, "match images the 9 recorded images, under other names")


def test_unreadable_images_are_named(champion: Path, source: Path, verify: Verify) -> None:
    (source / "validation/v3.png").write_bytes(b"no picture")
    (source / "validation/v5.png").unlink()
    said = verify(champion, "--data", source)
    assert said.line("unreadable v3") == "unreadable v3 not an image"
    assert said.line("unreadable v5") == "unreadable v5 missing"
    assert said.line("differs images") == "differs images 7 images, the card says 9"
    assert said.code == 1
    for file in (source / "validation").iterdir():
        file.write_bytes(b"")
    said = verify(champion, "--data", source)
    assert (said.code, said.out) == (1, [])
    assert said.err == ["error: none of the 9 images can be read: v0: empty, …"]


def test_many_unreadable_images_are_counted(champion: Path, source: Path, verify: Verify) -> None:
    for row in range(7):
        (source / f"validation/v{row}.png").write_bytes(b"")
    said = verify(champion, "--data", source)
    assert len([line for line in said.out if line.split()[0] == "unreadable"]) == 6
    assert said.line("unreadable …") == "unreadable … 7 in all"


# --- what cannot be used


def test_no_folder_and_no_card(champion: Path, verify: Verify, tmp_path: Path) -> None:
    (champion / "card.json").unlink()
    assert verify(champion).err == [
        f"error: {champion}/card.json is missing: there is nothing to compare {champion} with"
    ]
    said = verify(tmp_path / "gone")
    assert (said.code, said.err) == (
        1,
        [f"error: {tmp_path}/gone does not exist, nor is it a model that comes with Fakeprint; known: unibuc"],
    )
    assert verify(tmp_path / "source/train.csv").err == [
        f"error: {tmp_path}/source/train.csv is not a folder; name a model's folder, for example models/champion"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("\udcff", "is not valid JSON"),
        ("[]", "is not a card of this version: its content: Input should be a valid dictionary or instance of Card"),
        ("{}", "is not a card of this version: model: Field required"),
        ('{"format": 2}', "is not a card of this version: format: Input should be 1"),
    ],
)
def test_what_is_no_card(champion: Path, verify: Verify, text: str, message: str) -> None:
    (champion / "card.json").write_text(text, errors="surrogateescape")
    said = verify(champion)
    assert (said.code, said.err) == (1, [f"error: {champion}/card.json {message}"])


def test_figures_that_are_no_numbers(champion: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"]["figures"]["accuracy"].update(value=float("nan")))
    assert verify(champion).err == [
        f"error: {champion}/card.json is not a card of this version: measured.figures.accuracy.value: "
        "Input should be a finite number"
    ]


def test_a_card_cannot_ask_for_more_memory_than_figures_need(champion: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"].update(bins=10**15))
    assert verify(champion).err == [
        f"error: {champion}/card.json is not a card of this version: measured.bins: "
        "Input should be less than or equal to 10000"
    ]


def test_data_without_recorded_figures(champion: Path, source: Path, verify: Verify) -> None:
    edit(champion, lambda card: card.update(measured=None))
    assert verify(champion, "--data", source).err == [
        f"error: --data: {champion}/card.json records no figures on a data set; leave --data out"
    ]
    edit(champion, lambda card: card.update(sample=None))
    said = verify(champion)
    assert (said.code, said.out[-2:]) == (0, ["not checked: figures: the card records none", "match"])


def test_options_that_cannot_be_used(champion: Path, source: Path, verify: Verify) -> None:
    assert verify(champion, "-S", "data.layout=folders").err == [
        "error: -S says how --data is read; add --data PATH, or leave it out"
    ]
    assert verify(champion, "--data", source, "-S", "data.layuot=folders").err == [
        "error: -S data.layuot=folders: give one of the keys that say which images are read; did you mean "
        "'data.layout'?"
    ]
    assert verify(champion, "--data", source, "-S", "data.path=/").err[0].startswith("error: -S data.path=/: give one")
    (wrong,) = verify(champion, "--data", source, "-S", "data.layout=folder").err
    assert wrong.startswith(f"error: -S or {champion}/card.json: data.layout: ")
    assert verify(champion, "--device", "gpu").err == [
        "error: --device: 'gpu' is unknown; known: auto, cpu, cuda, cuda:N, mps"
    ]
    assert verify(champion, "--data", source / "gone").err == [
        f"error: data.path: {source}/gone does not exist",
    ]


def test_images_of_a_class_that_the_model_does_not_know(champion: Path, source: Path, verify: Verify) -> None:
    for split in ("train", "validation"):
        listed = pd.read_csv(source / f"{split}.csv", dtype=str)
        listed.replace({"label": {"2": "7"}}).to_csv(source / f"{split}.csv", index=False)
    assert verify(champion, "--data", source).err == [
        f"error: {source}: its validation images have 1 class(es) that the model does not know: 7 (known: 0, 1, 2)"
    ]


# --- a stranger's folder and card


@pytest.mark.parametrize("name", ["../secret.txt", "lda/../../secret.txt", "./a", "C:\\secret.txt", "..\\secret", ""])
def test_names_that_lead_out_of_the_folder_are_refused(champion: Path, verify: Verify, name: str) -> None:
    (champion.parent / "secret.txt").write_text("not to be read")
    edit(champion, lambda card: card["files"].update({name: {"bytes": 14, "sha256": "0" * 64}}))
    said = verify(champion)
    assert said.line(f"refused {name}".strip()).endswith(
        "the card names a place outside of the folder; nothing was read there"
    )
    assert said.code == 1


def test_an_absolute_name_is_refused(champion: Path, verify: Verify) -> None:
    secret = champion.parent / "secret.txt"
    secret.write_text("not to be read")
    edit(champion, lambda card: card["files"].update({str(secret): {"bytes": 14, "sha256": "0" * 64}}))
    assert verify(champion).line(f"refused {secret}").endswith("nothing was read there")


def test_links_are_not_followed_and_the_model_is_not_loaded(champion: Path, verify: Verify) -> None:
    outside = champion.parent / "outside"
    shutil.move(champion / "lda", outside)
    (champion / "lda").symlink_to(outside)
    said = verify(champion)
    assert said.line("refused") == "refused lda a link, which is not followed"
    assert said.line("missing lda/model.json").startswith("missing")
    assert said.line("differs figures") == (
        "differs figures not measured: the model was not loaded, because of lda: a link, which is not followed"
    )
    (champion / "lda").unlink()
    (champion / "lda").mkdir()
    shutil.copy2(outside / "model.json", champion / "lda")
    (champion / "lda/classifier.skops").symlink_to(outside / "classifier.skops")
    assert verify(champion).line("refused") == "refused lda/classifier.skops a link, which is not followed"
    assert verify(champion, "--record").err == [
        f"error: {champion}/lda/classifier.skops is a link; a card covers files alone, so replace or remove it"
    ]


def test_a_card_that_is_a_link(champion: Path, verify: Verify) -> None:
    (champion / "card.json").rename(champion.parent / "card.json")
    (champion / "card.json").symlink_to(champion.parent / "card.json")
    assert verify(champion).err == [
        f"error: {champion}/card.json is a link, which is not followed: put the card itself there"
    ]


def test_a_pipe_does_not_block(champion: Path, verify: Verify) -> None:
    os.mkfifo(champion / "pipe")
    assert verify(champion).line("refused") == "refused pipe neither a file nor a folder, which is not followed"


@pytest.mark.parametrize("name", ["../outside", "/etc", "..", 3])
def test_a_champion_outside_of_the_folder_is_not_loaded(champion: Path, verify: Verify, name: object) -> None:
    shutil.copytree(champion / "lda", champion.parent / "outside")
    content = json.loads((champion / "champion.json").read_text()) | {"model": name}
    (champion / "champion.json").write_text(json.dumps(content))
    assert verify(champion).line("differs figures") == (
        f"differs figures not measured: {champion}/champion.json names the model {name!r}, which cannot be a folder in "
        f"{champion}; nothing was loaded"
    )


def test_a_member_outside_of_the_folder_is_not_loaded(champion: Path, verify: Verify) -> None:
    description = json.loads((champion / "lda/model.json").read_text())
    ensemble = {"kind": "ensemble", "method": "average", "members": ["../../outside"], "weights": [1.0]}
    (champion / "lda/model.json").write_text(json.dumps(description | ensemble))
    assert "model.json names the model '../../outside', which cannot be" in verify(champion).line("differs figures")


def test_damaged_descriptions_end_in_one_line(champion: Path, verify: Verify) -> None:
    for text in ("{", '{"kind": "classifier"}', '{"kind": "classifier", "dataset": {}}', '{"kind": "ensemble"}', "[]"):
        (champion / "lda/model.json").write_text(text)
        said = verify(champion)
        assert said.err == []
        assert "not measured: " in said.line("differs figures"), text
    for text in ("{", "[]", '{"model": "lda", "data": 3}', '{"model": "lda", "data": "x", "predict": 3}'):
        (champion / "champion.json").write_text(text)
        assert "not measured: " in verify(champion).line("differs figures"), text


def test_a_card_does_not_choose_which_files_are_read(champion: Path, source: Path, verify: Verify) -> None:
    edit(champion, lambda card: card["measured"]["source"].update({"data.path": "/"}))
    (line,) = verify(champion, "--data", source).err
    assert line.startswith(f"error: {champion}/card.json: data.path does not say how images are found; ")


def test_names_with_control_characters_stay_on_one_line(champion: Path, verify: Verify) -> None:
    (champion / "a\nmatch").write_text("x")
    assert verify(champion).line("extra") == "extra a\\nmatch the card does not list it"


# --- writing a card


@pytest.mark.slow
def test_figures_stay_while_only_texts_change(champion: Path, source: Path, verify: Verify) -> None:
    (champion / "README.md").write_text("# A card to read\n")
    said = verify(champion, "--record")
    assert said.out == [
        f"{champion}/card.json: 4 files; figures those of the last card, since no file but texts has changed"
    ]
    assert verify(champion, "--data", source).out[-1] == "match"
    (champion / "champion.json").write_text((champion / "champion.json").read_text() + "\n")
    said = verify(champion, "--record")
    assert said.out[0].endswith(
        "figures none: champion.json has changed since the last card; give the images with --data PATH"
    )
    assert json.loads((champion / "card.json").read_text())["measured"] is None


ROWS = "model,cell,accuracy,accuracy_low,accuracy_high\nlda,clean,{clean},0.1,0.9\nlda,jpeg_50,{jpeg},0.25,0.75\n"


def test_the_accuracy_on_degraded_images_is_recorded_and_stays(champion: Path, verify: Verify, tmp_path: Path) -> None:
    recorded = json.loads((champion / "card.json").read_text())
    assert "degraded" not in recorded
    clean = recorded["measured"]["figures"]["accuracy"]["value"]
    table = tmp_path / "robustness.csv"
    table.write_text(ROWS.format(clean=clean, jpeg=0.51239))
    assert verify(champion, "--record", "--degraded", table, "--confidence", 0.9).err == []
    degraded = json.loads((champion / "card.json").read_text())["degraded"]
    assert degraded == {
        "images": recorded["measured"]["images"],
        "confidence": 0.9,
        "accuracy": {"jpeg_50": {"value": 0.5124, "low": 0.25, "high": 0.75}},
    }
    said = verify(champion)
    assert "not checked: the accuracy on 1 kinds of degraded images" in said.out and said.out[-1] == "match"
    (champion / "README.md").write_text("# A card to read\n")
    verify(champion, "--record")
    assert json.loads((champion / "card.json").read_text())["degraded"] == degraded
    (champion / "champion.json").write_text((champion / "champion.json").read_text() + "\n")
    verify(champion, "--record")
    assert "degraded" not in json.loads((champion / "card.json").read_text())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROWS.format(clean=0.123, jpeg=0.5), "lda has an accuracy of 0.1230 on clean images, and the card says "),
        (ROWS.format(clean="{clean}", jpeg="much"), "accuracy of jpeg_50 should be 0–1, not 'much'"),
        (ROWS.replace("lda", "svm"), "has no rows of lda on clean and on degraded images"),
        ("a,b\n1,2\n", "is not a table such as metrics/robustness.csv: needs model, cell, accuracy, "),
        (None, "cannot be read as a table ("),
    ],
)
def test_a_table_of_other_images_is_refused(
    champion: Path, verify: Verify, tmp_path: Path, content: str | None, message: str
) -> None:
    card = (champion / "card.json").read_text()
    table = tmp_path / "robustness.csv"
    if content is not None:
        clean = str(json.loads(card)["measured"]["figures"]["accuracy"]["value"])
        table.write_text(content.replace("{clean}", clean))
    (line,) = verify(champion, "--record", "--degraded", table).err
    assert line.startswith(f"error: {table}") and message in line
    assert (champion / "card.json").read_text() == card


def test_degraded_images_without_record(champion: Path, verify: Verify, tmp_path: Path) -> None:
    assert verify(champion, "--degraded", tmp_path).err == [
        "error: --degraded is written into the card; add --record, or leave it out"
    ]


def test_a_folder_that_is_not_a_champion_s_gets_no_card(champion: Path, verify: Verify) -> None:
    said = verify(champion / "lda", "--record")
    assert said.err == [
        f"error: {champion}/lda/champion.json: missing; lay the folder out as models/champion, with champion.json and "
        "the model"
    ]
    assert not (champion / "lda/card.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--verdicts", "some.csv"], "--verdicts are on labels of --data; add --data PATH, or leave it out"),
        (["--verdicts", "some.csv", "--data", "images"], "--verdicts: some.csv is not a file"),
        (["--confidence", "95"], "--confidence should be above 0 and below 1, not 95"),
    ],
)
def test_options_in_one_line(champion: Path, verify: Verify, options: list[str], message: str) -> None:
    assert verify(champion, *options).err == [f"error: {message}"]


@pytest.mark.slow
def test_verdicts_change_the_images(champion: Path, source: Path, verify: Verify, tmp_path: Path) -> None:
    """A model whose validation split lost an image and got another label was measured on these images."""
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text("image_id,split,verdict\nv0,validation,drop\nv8,validation,1\nt0,train,keep\n")
    changed = verify(champion, "--data", source, "--verdicts", verdicts)
    assert changed.line("differs images") == "differs images 8 images, the card says 9"
    verify(champion, "--data", source, "--verdicts", verdicts, "--record")
    assert verify(champion, "--data", source, "--verdicts", verdicts).out[-1] == "match"
    assert verify(champion, "--data", source).code == 1
