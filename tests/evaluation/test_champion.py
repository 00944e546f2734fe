import json

import pytest

from fakeprint.errors import InputError
from fakeprint.evaluation.champion import champion_name, champion_of, copy_out
from fakeprint.params import Predict
from fakeprint.predict import load_model


def make_model(models, name, **description):
    (models / name).mkdir(parents=True)
    (models / name / "model.json").write_text(json.dumps({"name": name, **description}))
    (models / name / "weights.bin").write_bytes(name.encode())


def test_a_single_model_is_copied_and_named(tmp_path):
    make_model(tmp_path, "lda", kind="classifier")
    copy_out("lda", "demo, simulated generators", Predict(), tmp_path)
    champion = tmp_path / "champion"
    assert json.loads((champion / "champion.json").read_text()) == {
        "model": "lda",
        "data": "demo, simulated generators",
        "predict": {"tta": "none", "shift": 2},
    }
    assert (champion / "lda" / "weights.bin").read_bytes() == b"lda"
    assert champion_name(tmp_path) == "lda"
    assert not (champion / "decision.json").exists()
    copy_out("lda", "demo", Predict(), tmp_path, {"certificate": None})
    assert json.loads((champion / "decision.json").read_text()) == {"certificate": None}


def test_the_leaderboard_names_the_champion(tmp_path):
    file = tmp_path / "leaderboard.json"
    with pytest.raises(InputError, match=r"leaderboard\.json is missing: run `dvc repro compare` first$"):
        champion_of(file)
    file.write_text('{"champion": "lda"}')
    assert champion_of(file) == "lda"


def test_how_images_are_cut_is_noted_where_they_are(tmp_path):
    make_model(tmp_path, "lda", kind="classifier", dataset={"resize": "native"})
    copy_out("lda", "demo", Predict(crops=4, crop_choice="detail"), tmp_path)
    noted = json.loads((tmp_path / "champion/champion.json").read_text())["predict"]
    assert noted == {"tta": "none", "shift": 2, "crops": 4, "crop_choice": "detail"}


def test_an_ensemble_takes_its_members_along_and_the_last_champion_goes(tmp_path):
    make_model(tmp_path, "lda", kind="classifier")
    make_model(tmp_path, "cnn", kind="network")
    make_model(tmp_path, "average", kind="ensemble", members=["cnn", "lda"], weights=[0.5, 0.5])
    copy_out("lda", "demo", Predict(), tmp_path)
    copy_out("average", "demo", Predict(), tmp_path)
    assert sorted(path.name for path in (tmp_path / "champion").iterdir()) == [
        "average",
        "champion.json",
        "cnn",
        "lda",
    ]
    assert (tmp_path / "champion" / "cnn" / "weights.bin").read_bytes() == b"cnn"


def test_a_missing_member_leaves_the_last_champion_whole(tmp_path):
    make_model(tmp_path, "lda", kind="classifier")
    copy_out("lda", "demo", Predict(), tmp_path)
    make_model(tmp_path, "average", kind="ensemble", members=["gone"], weights=[1.0])
    with pytest.raises(InputError, match=r"gone/model\.json is missing: run `dvc repro` or `dvc checkout .*gone`$"):
        copy_out("average", "demo", Predict(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["average", "champion", "lda"]
    assert champion_name(tmp_path) == "lda"


def test_no_champion_says_what_to_run(tmp_path):
    with pytest.raises(InputError, match=r"champion\.json is missing: there is no champion yet, run `dvc repro` \(or"):
        champion_name(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "{}", '{"model": "lda"}', '{"model": "lda", "data": 3}', '{"model": null, "data": "demo"}'),
        *(
            '{"model": "../lda", "data": "demo"}',
            '{"model": "/etc", "data": "demo"}',
            '{"model": "..", "data": "demo"}',
        ),
        *('{"model": "lda", "data": "demo", "predict": {"tta": "all"}}', "\udcff"),
    ],
)
def test_a_damaged_champion_is_one_line(tmp_path, text):
    make_model(tmp_path, "lda", kind="classifier")
    copy_out("lda", "demo", Predict(), tmp_path)
    (tmp_path / "champion/champion.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    for read in (lambda: champion_name(tmp_path), lambda: load_model(tmp_path / "champion")):
        with pytest.raises(InputError, match=r"champion\.json should be a JSON object with model, data and predict"):
            read()
