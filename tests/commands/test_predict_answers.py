"""What `fakeprint predict` answers by a decision file, by a calibration alone, and without either."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeprint.augment.variants import variants
from fakeprint.errors import InputError
from fakeprint.files import read_json, write_json
from fakeprint.predict import load_model
from fakeprint.variants import VARIANTS
from fakeprint.verdict.calibration import Scaled
from fakeprint.verdict.certificate import Certificate
from fakeprint.verdict.conformal import ConformalSets
from fakeprint.verdict.decision import Decision
from tests.commands.test_predict import call, picture, workplace

assert workplace  # a fixture

COOL = Scaled("temperature", [0.1] * 3, [0.0] * 3)
CERTIFICATE = Certificate(0.5, 900, 600, 5, 0.0174, 0.02, 0.95)
SETS = ConformalSets([0.2, 0.3, 0.0], 0.1, [50, 50, 4])


def decide(**changes):
    decision = Decision(COOL, **{"certificate": CERTIFICATE, "sets": SETS, **changes})
    write_json("models/champion/decision.json", decision.as_json())
    return decision


def probabilities(image):
    return load_model(Path("models/lda")).probabilities(image[None])


def sure_and_unsure():
    """Writes a picture of the first class, and of its mixtures with the second the one that the model tells worst."""
    Image.fromarray(picture(0, 50)).save("sure.png")
    mixtures = np.repeat(picture(0, 50)[None], 24 * 24, axis=0).reshape(-1, 24 * 24, 3)
    for count, mixture in enumerate(mixtures):
        mixture[:count] = picture(1, 51).reshape(-1, 3)[:count]
    mixtures = mixtures.reshape(-1, 24, 24, 3)
    mixed = mixtures[load_model(Path("models/lda")).probabilities(mixtures).max(axis=1).argmin()]
    Image.fromarray(mixed).save("unsure.png")
    return mixed


def answers(capsys, *words):
    capsys.readouterr()
    call("sure.png", "unsure.png", "--json", *words)
    return json.loads(capsys.readouterr().out)


def test_the_champion_answers_by_its_decision_file(workplace, capsys):
    mixed = sure_and_unsure()
    scores = COOL(np.concatenate([probabilities(picture(0, 50)), probabilities(mixed)])).max(axis=1)
    threshold = round(float(scores.mean()), 3)
    assert scores[1] < threshold < scores[0]
    decide(certificate=Certificate(threshold, 900, 600, 5, 0.0174, 0.02, 0.95))
    printed = answers(capsys)
    assert printed["certificate"].startswith(f"score of at least {threshold:g}: at most 2 % of answers are wrong (95 %")
    sure, unsure = printed["images"]
    assert (sure["answer"], sure["class"], unsure["answer"]) == ("label", "0", "unsure")
    assert sure["score"] == pytest.approx(scores[0], abs=1e-12)
    assert list(sure["probabilities"].values()) == pytest.approx(COOL(probabilities(picture(0, 50)))[0].tolist())
    claim = f"{threshold:g}, from which at most 2 % of answers are wrong (95 % confidence)"
    assert sure["reason"].endswith(f" is at least {claim}")
    assert unsure["reason"].endswith(f" is below {claim}")
    assert unsure["class"] in "012"  # the most probable one all the same
    wanted = [label for label, least in zip("012", SETS.least, strict=True) if unsure["probabilities"][label] >= least]
    assert unsure["set"] == wanted


def test_the_csv_file_has_the_same(workplace, capsys):
    sure_and_unsure()
    decide()
    rows = answers(capsys)["images"]
    call("sure.png", "unsure.png", "--csv", "out.csv")
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    for row, line in zip(rows, written, strict=True):
        assert [line[key] for key in ("answer", "class", "reason")] == [row[k] for k in ("answer", "class", "reason")]
        assert (float(line["score"]), json.loads(line["set"])) == (row["score"], row["set"])


def test_the_table_fits_100_columns(workplace, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    sure_and_unsure()
    decide(certificate=Certificate(0.99, 900, 600, 5, 0.0174, 0.02, 0.95))
    call("sure.png", "unsure.png")
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert "answer" in out and out.count("unsure ") >= 2
    assert "score of at least 0.99" in out


def test_without_a_certified_threshold_every_image_gets_its_label(workplace, capsys):
    sure_and_unsure()
    decide(certificate=Certificate(None, 120, 0, 0, 1.0, 0.02, 0.95))
    printed = answers(capsys)
    assert printed["certificate"].startswith("not certifiable with 120 images: at most 2 % errors with 95 % confidence")
    assert [row["answer"] for row in printed["images"]] == ["label", "label"]
    reason = "the most probable class; no threshold is certified: not certifiable with 120 images"
    assert {row["reason"] for row in printed["images"]} == {reason}
    call("sure.png")
    out = capsys.readouterr().out
    assert "answer" not in out.replace("answered", "") and "not certifiable" in out


def test_a_model_without_a_decision_is_calibrated_and_labels_everything(workplace, capsys):
    mixed = sure_and_unsure()
    raw = answers(capsys, "--model", "lda")["images"][1]
    assert list(raw["probabilities"].values()) == pytest.approx(probabilities(mixed)[0].tolist())
    assert (raw["answer"], raw["set"]) == ("label", None)
    write_json("models/calibration/lda.json", {"calibration": COOL.as_json(), "on": "validation", "images": 40})
    calibrated = answers(capsys, "--model", "lda")["images"][1]
    assert list(calibrated["probabilities"].values()) == pytest.approx(COOL(probabilities(mixed))[0].tolist())
    assert calibrated["reason"] == "the most probable class; there is no decision file for this model"


def test_variants_that_disagree_make_it_unsure(workplace, capsys, monkeypatch):
    """The model sees a bright left half as one class, and so its mirror image as another."""
    sure_and_unsure()
    decide(certificate=Certificate(0.0, 900, 600, 5, 0.0174, 0.02, 0.95), consistency=True)

    def load(folder, **options):
        real = load_model(folder, **options)

        def by_half(images):
            left = images[:, :, :12].mean(axis=(1, 2, 3)) > images[:, :, 12:].mean(axis=(1, 2, 3))
            return np.where(left[:, None], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0])

        return type(real)(real.name, real.dataset, by_half)

    monkeypatch.setattr("fakeprint.predict.load_model", load)
    lopsided = picture(0, 50)
    lopsided[:, :12] //= 2
    Image.fromarray(lopsided).save("sure.png")
    first = answers(capsys)["images"][0]
    assert (first["answer"], first["class"]) == ("unsure", "1")
    assert first["reason"] == "a variant of the image is answered generator 0"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ({"certificate": {"threshold": 0.5}}, "models/champion/decision.json is damaged or of another version"),
        ({"calibration": {"method": "magic"}}, "(unknown calibration method: magic); `dvc repro` writes it anew"),
    ],
)
def test_a_damaged_decision_file_is_refused_in_one_line(workplace, damage, line):
    decide()
    write_json("models/champion/decision.json", read_json("models/champion/decision.json") | damage)
    with pytest.raises(InputError) as refused:
        call("files", "--json")
    assert line in str(refused.value) and "\n" not in str(refused.value)


def test_a_decision_file_that_lacks_a_key_names_it(workplace):
    write_json("models/champion/decision.json", {"calibration": COOL.as_json()})
    with pytest.raises(InputError, match=r"decision\.json is damaged or of another version \(no 'certificate'\)"):
        call("files", "--json")


def test_variants_are_the_degraded_images_that_validation_was_tested_with():
    from fakeprint.degraded import degraded

    images = np.stack([picture(0, 1), picture(1, 2)])
    for (cell, steps), each in zip(VARIANTS.items(), variants(images), strict=True):
        assert np.array_equal(each, degraded(images, cell, steps, seed=7))
        assert not np.array_equal(each, images)
    assert np.array_equal(variants(images)[0], images[:, :, ::-1])
    assert [len(each) for each in variants(images[:0])] == [0, 0, 0]
