"""Which model serves: at first, after POST /set, after a restart, in every replica, and while requests run."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from fakeprint.evaluation.intervals import wilson
from fakeprint.evaluation.leaderboard import compare
from fakeprint.evaluation.predictions import Predictions
from fakeprint.files import read_json, write_json
from fakeprint.named_models import SHIPPED
from fakeprint.service import serving
from tests.service.running import app_of, client, encoded, files, models_folder, pictures, running

assert client and models_folder  # fixtures

IMAGE = encoded(pictures(1)[0][0])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "POLL", 0.02)
    monkeypatch.setattr(serving, "RETRY", 0.05)


def serves(client: TestClient) -> str:
    return str(client.post("/predict", files=files(("a.png", IMAGE))).json()["model"]["name"])


def until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("setting", "has_models", "name"),
    [(None, True, "champion"), (None, False, "unibuc"), ("lda", True, "lda"), ("unibuc", True, "unibuc")],
)
def test_at_the_first_start(
    tmp_path: Path, models_folder: Path, setting: str | None, has_models: bool, name: str
) -> None:
    with running(tmp_path, models_folder if has_models else tmp_path / "none", model=setting) as client:
        assert client.get("/ready").json()["model"]["name"] == name
        assert client.get("/models").json()["revision"] == 0


def test_readiness_names_a_model_that_does_not_exist(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder, is_ready=False, model="ldda") as client:
        until(lambda: "ldda" in client.get("/ready").json()["detail"])
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert answer.json()["detail"].startswith("name: 'ldda' is neither in ")
        refused = client.post("/predict", files=files(("a.png", IMAGE)))
        assert (refused.status_code, refused.json()["detail"]) == (503, answer.json()["detail"])


@pytest.mark.slow
def test_set_changes_what_serves_and_outlives_a_restart(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder) as client:
        assert serves(client) == "champion"
        changed = client.post("/set", json={"name": "lda", "expected_revision": 0})
        assert (changed.status_code, changed.json()["revision"]) == (200, 1)
        assert changed.json()["model"]["digest"] == client.get("/ready").json()["model"]["digest"]
        assert serves(client) == "lda"
        assert client.post("/set", json={"name": "unibuc"}).json()["model"]["source"] == "shipped"
        listed = client.get("/models").json()
        assert listed["revision"] == 2
        assert [each["name"] for each in listed["models"] if each["serves"]] == ["unibuc"]
    with running(tmp_path, models_folder, model="lda") as client:
        assert serves(client) == "unibuc"


@pytest.mark.slow
def test_two_callers_cannot_overwrite_each_other(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder) as client:
        assert client.post("/set", json={"name": "lda", "expected_revision": 0}).status_code == 200
        for name, revision in (("native", 0), ("native", 7)):
            refused = client.post("/set", json={"name": name, "expected_revision": revision})
            assert refused.status_code == 409
            line = f"the serving model is at revision 1, not {revision}: look at it again with GET /models"
            assert refused.json()["detail"] == line
        with ThreadPoolExecutor(4) as pool:
            calls = [
                pool.submit(client.post, "/set", json={"name": name, "expected_revision": 1})
                for name in ("native", "three_cnn", "average", "champion")
            ]
        assert sorted(call.result().status_code for call in calls) == [200, 409, 409, 409]
        assert client.get("/models").json()["revision"] == 2


@pytest.mark.slow
def test_every_replica_follows(tmp_path: Path, models_folder: Path) -> None:
    with running(tmp_path, models_folder) as first, running(tmp_path, models_folder) as second:
        first.post("/set", json={"name": "lda"})
        until(lambda: serves(second) == "lda")
        second.post("/set", json={"name": "native", "expected_revision": 1})
        until(lambda: serves(first) == "native")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({"name": "ldda"}, "name: 'ldda' is neither in "),
        ({"name": "../lda"}, "name: '../lda' is neither in "),
        ({"name": "lda", "source": "shipped"}, "name: 'lda' does not come with Fakeprint"),
        ({"name": "lda", "version": "1"}, "version and alias are for source: registry; leave them out"),
        ({"name": "a", "source": "registry", "version": "1", "alias": "b"}, "give a version or an alias, not both"),
        ({"name": "a", "source": "registry"}, "there is no registry at "),
    ],
)
def test_messages(client: TestClient, body: dict[str, Any], line: str) -> None:
    response = client.post("/set", json=body)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(line)
    assert client.get("/models").json()["revision"] == 0


@pytest.mark.slow
def test_a_damaged_model_does_not_take_over(tmp_path: Path, models_folder: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(models_folder, models)
    (models / "three_cnn" / "weights.safetensors").write_bytes(b"nothing")
    with running(tmp_path / "service", models) as client:
        refused = client.post("/set", json={"name": "three_cnn"})
        assert refused.status_code == 422
        assert "three_cnn" in refused.json()["detail"]
        assert serves(client) == "champion"
        assert client.get("/models").json()["revision"] == 0


@pytest.mark.slow
def test_a_model_that_is_gone_is_named_and_another_serves_until_it_is_back(
    tmp_path: Path, models_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = tmp_path / "models"
    shutil.copytree(models_folder, models)
    with running(tmp_path / "service", models) as client:
        client.post("/set", json={"name": "lda"})
    (models / "lda").rename(tmp_path / "away")
    with caplog.at_level(logging.ERROR, "fakeprint.service"), running(tmp_path / "service", models) as client:
        ready = client.get("/ready").json()
        assert (ready["ready"], ready["model"]["name"]) == (True, "champion")
        assert ready["detail"].startswith("the model that was set (lda, revision 1) cannot be loaded: name: 'lda' is")
        assert ready["detail"].endswith("; champion serves instead")
        assert client.get("/models").json()["revision"] == 1  # what POST /set compares with
        time.sleep(0.3)  # it is tried again, and again
        assert [record.getMessage() for record in caplog.records] == [ready["detail"]]
        (tmp_path / "away").rename(models / "lda")
        until(lambda: serves(client) == "lda")
        assert client.get("/ready").json()["detail"] is None


@pytest.mark.slow
def test_requests_that_have_begun_keep_their_model(tmp_path: Path, models_folder: Path) -> None:
    """Under load, models change back and forth: each answer is wholly of the model that it names."""
    images = [encoded(image) for image in pictures(6, seed=5)[0]]
    sent = files(*((f"{number}.png", image) for number, image in enumerate(images)))
    stop, answers = threading.Event(), []

    def ask(client: TestClient) -> None:
        while not stop.is_set():
            answers.append(client.post("/predict", files=sent))

    with running(tmp_path, models_folder, model="lda") as client:
        alone = {}
        for name in ("three_cnn", "native", "lda"):
            client.post("/set", json={"name": name})
            alone[name] = client.post("/predict", files=sent).json()["images"]
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, client) for _ in range(4)]
            for name in ["three_cnn", "native", "lda"] * 3:
                assert client.post("/set", json={"name": name}).status_code == 200
            stop.set()
            for each in asking:
                each.result()
    assert {answer.status_code for answer in answers} == {200}
    served = [answer.json() for answer in answers]
    assert len({answer["model"]["name"] for answer in served}) > 1
    for answer in served:
        for found, wanted in zip(answer["images"], alone[answer["model"]["name"]], strict=True):
            assert found["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)


def test_models_are_described(client: TestClient, models_folder: Path) -> None:
    listed = {each["name"]: each for each in client.get("/models").json()["models"]}
    assert list(listed) == ["champion", "average", "lda", "native", "three_cnn", "unibuc"]
    champion, network, shipped = listed["champion"], listed["three_cnn"], listed["unibuc"]
    assert (champion["kind"], champion["model"], champion["backbone"]) == ("ensemble", "average", "lda, three_cnn")
    assert champion["calibration"]["method"] == "temperature"
    assert champion["certificate"].startswith("score of at least 0.6")
    assert (champion["data"], champion["serves"]) == ("test pictures", True)
    assert (network["last_activation"], network["image_size"]) == ("softmax", 40)
    assert network["hyperparameters"]["design"]["width"] == 0.25
    card = read_json(SHIPPED / "unibuc" / "card.json")
    assert shipped["card"] == card
    assert shipped["accuracy"]["value"] == card["measured"]["figures"]["accuracy"]["value"]
    low, high = shipped["accuracy"]["low"], shipped["accuracy"]["high"]
    assert low < shipped["accuracy"]["value"] < high < low + 0.03  # of 1,250 images
    ready = client.get("/ready").json()["model"]
    assert ready["digest"] == champion["digest"]
    assert champion["version"] == ready["version"] == champion["digest"][:12]


def predictions(right: int, wrong: int) -> Predictions:
    """Of images of the first of two classes."""
    probabilities = np.array([[0.8, 0.2]] * right + [[0.3, 0.7]] * wrong)
    count = len(probabilities)
    ids = np.array([str(number) for number in range(count)])
    return Predictions(ids, np.zeros(count, np.int64), probabilities, np.arange(count), np.full(count, None))


@pytest.mark.slow
@pytest.mark.parametrize("split", ["validation", "test"])
def test_accuracy_is_that_of_the_leaderboard(tmp_path: Path, models_folder: Path, split: str) -> None:
    """On test where that is labelled; the other figures of a row are validation's."""
    shutil.copytree(models_folder / "lda", tmp_path / "models" / "lda")
    test = {"lda": predictions(120, 30)} if split == "test" else None
    board = compare({"lda": predictions(225, 25)}, ["red", "green"], 0.9, test=test)
    write_json(tmp_path / "metrics" / "leaderboard.json", board.as_json())
    with running(tmp_path / "service", tmp_path / "models", is_ready=False) as client:
        lda, shipped = client.get("/models").json()["models"]
    value, images = (0.8, 150) if split == "test" else (0.9, 250)
    low, high = wilson(round(value * images), images, 0.9)
    expected = {"split": split, "value": value, "low": low, "high": high, "confidence": 0.9, "images": images}
    assert lda["accuracy"] == {key: pytest.approx(each) for key, each in expected.items()}
    assert shipped["name"] == "unibuc"


@pytest.mark.slow
@pytest.mark.parametrize("lacking", ["test", "test_images"])
def test_a_leaderboard_without_all_figures_of_test_tells_validation_s(
    tmp_path: Path, models_folder: Path, lacking: str
) -> None:
    shutil.copytree(models_folder / "lda", tmp_path / "models" / "lda")
    board = compare({"lda": predictions(225, 25)}, ["red", "green"], 0.95, test={"lda": predictions(120, 30)}).as_json()
    (board["models"]["lda"] if lacking == "test" else board).pop(lacking)
    write_json(tmp_path / "metrics" / "leaderboard.json", board)
    with running(tmp_path / "service", tmp_path / "models", is_ready=False) as client:
        accuracy = client.get("/models").json()["models"][0]["accuracy"]
    assert (accuracy["split"], accuracy["value"], accuracy["images"]) == ("validation", 0.9, 250)


def test_a_digest_changes_with_any_file(tmp_path: Path, models_folder: Path) -> None:
    from fakeprint.service.opened import digest_of

    models = tmp_path / "models"
    shutil.copytree(models_folder, models)
    before = {name: digest_of(models / name) for name in ("lda", "average", "champion")}
    description = models / "lda" / "model.json"
    description.write_text(description.read_text() + " ")
    after = {name: digest_of(models / name) for name in before}
    assert {name for name in before if before[name] != after[name]} == {"lda", "average"}  # the champion has its copy
    (models / "calibration").mkdir()
    (models / "calibration" / "lda.json").write_text("{}")
    assert digest_of(models / "lda") != after["lda"]


@pytest.mark.slow
def test_the_database_may_be_away_for_a_while(
    tmp_path: Path, models_folder: Path, monkeypatch: Any, caplog: Any
) -> None:
    from sqlalchemy.exc import OperationalError

    with running(tmp_path, models_folder, model="lda") as client:
        state = app_of(client).state

        def away() -> None:
            raise OperationalError("select", {}, Exception("secret address"))

        with caplog.at_level(logging.ERROR, "fakeprint.service"):
            monkeypatch.setattr(state.serving, "_row", away)
            until(lambda: bool(caplog.records))
            assert serves(client) == "lda"
            time.sleep(0.2)
        assert [record.getMessage() for record in caplog.records] == ["the database does not answer: OperationalError"]


@pytest.mark.slow
def test_a_fault_that_lasts_is_logged_once(
    tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "POLL", 0.01)
    with running(tmp_path, models_folder, model="lda") as client:
        state = app_of(client).state
        row, looks = state.serving._row, []

        def damaged() -> None:
            looks.append(1)
            raise KeyError("source")

        def lasts_for(count: int) -> None:
            looks.clear()
            monkeypatch.setattr(state.serving, "_row", damaged)
            until(lambda: len(looks) >= count)
            monkeypatch.setattr(state.serving, "_row", row)

        with caplog.at_level(logging.ERROR, "fakeprint.service"):
            lasts_for(5)
            said = "the serving model could not be looked up: KeyError"
            assert [record.getMessage() for record in caplog.records] == [said]
            assert caplog.records[0].exc_info  # where it happened
            seen = []
            monkeypatch.setattr(state.serving, "_row", lambda: seen.append(1) or row())
            until(lambda: len(seen) >= 2)  # it was well in between
            lasts_for(2)
        assert [record.getMessage() for record in caplog.records] == [said, said]


@pytest.mark.slow
def test_decoding_in_threads_leaves_the_warning_filters_as_they_were(client: TestClient) -> None:
    import warnings

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        images = [encoded(np.asarray(image)) for image in pictures(16, size=64)[0]]
        sent = [pool.submit(client.post, "/predict", files=files(("a", each))) for each in images]
        assert {each.result().status_code for each in sent} == {200}
    assert warnings.filters == before


@pytest.mark.slow
def test_the_model_of_a_job_serves_under_the_job_s_name(tmp_path: Path, models_folder: Path) -> None:
    job = "0123456789abcdef" * 2
    with running(tmp_path, models_folder) as client:
        refused = client.post("/set", json={"name": f"job:{job}"})
        assert (refused.status_code, refused.json()["detail"].partition(";")[0]) == (
            422,
            f"the job '{job}' has no model",
        )
        made = client.app.state.settings.folder / "jobs" / job / "models"  # type: ignore[attr-defined]
        shutil.copytree(SHIPPED / "unibuc", made / "champion")
        listed = {model["name"]: model for model in client.get("/models").json()["models"]}
        assert listed[f"job:{job}"]["accuracy"] == listed["unibuc"]["accuracy"]
        changed = client.post("/set", json={"name": f"job:{job}"})
        assert (changed.status_code, serves(client)) == (200, f"job:{job}")
        assert [model["name"] for model in client.get("/models").json()["models"] if model["serves"]] == [f"job:{job}"]
    with running(tmp_path, models_folder) as client:
        assert serves(client) == f"job:{job}"
