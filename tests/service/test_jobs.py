"""Fits over HTTP: what may be asked for, and what the API tells of a job that has run."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from mlflow import MlflowClient

from fakeprint.named_models import model_folder
from fakeprint.predict import load_model
from fakeprint.service.access import create_key
from fakeprint.service.api import create_app
from fakeprint.service.jobs.results import model_folder_of_job
from fakeprint.service.schemas import Job
from tests.service.fits import EACH, TINY, Fitted, until
from tests.service.images import class_folders, png, zip_of

Api = Callable[..., TestClient]


@pytest.fixture
def client(fitted: Fitted) -> Iterator[TestClient]:
    with TestClient(create_app(fitted.settings)) as client:
        yield client


@pytest.mark.slow
def test_a_fit_ends_with_a_champion_that_can_serve(fitted: Fitted) -> None:
    job = Job.model_validate(fitted.job)
    assert (job.state, job.error, job.attempts, job.champion) == ("succeeded", None, 1, "three_cnn")
    assert job.stages_done == job.stages
    assert [row["epoch"] for row in job.curve] == [1, 2]
    assert set(job.metrics) >= {"accuracy", "low", "high", "log_loss"}
    assert job.started is not None
    assert job.finished is not None
    assert job.created <= job.started < job.finished
    assert job.model == f"job:{job.id}"
    folder = model_folder_of_job(fitted.settings, job.model)
    assert load_model(folder).dataset.classes == ["plain", "stripes"]
    assert model_folder(None, folder.parent) == (folder, "stripes: a “test”")


@pytest.mark.slow
def test_the_model_of_a_job_is_listed_served_and_answers(fitted: Fitted, client: TestClient) -> None:
    until(lambda: client.get("/ready").json()["ready"])
    listed = next(model for model in client.get("/models").json()["models"] if model["name"] == fitted.job["model"])
    assert (listed["model"], listed["classes"], listed["serves"]) == ("three_cnn", ["plain", "stripes"], False)
    assert listed["accuracy"]["value"] == fitted.job["metrics"]["accuracy"]
    served = client.post("/set", json={"name": fitted.job["model"]})
    assert served.status_code == 200, served.text
    assert served.json()["model"]["name"] == fitted.job["model"]
    answer = client.post("/predict", files=[("files", ("a.png", png(0, "plain")))]).json()
    assert answer["data"] == fitted.job["title"]
    assert set(answer["images"][0]["probabilities"]) == {"plain", "stripes"}
    gone = client.post("/set", json={"name": f"job:{'0' * 32}"})
    assert (gone.status_code, gone.json()["detail"]) == (
        422,
        f"the job '{'0' * 32}' has no model; it has one from its success until its files are removed",
    )


@pytest.mark.slow
def test_the_events_of_a_job_tell_its_stages_and_end_with_it(fitted: Fitted, client: TestClient) -> None:
    kinds = re.findall(r"^event: (\w+)$", fitted.events, re.M)
    told = [json.loads(line) for line in re.findall(r"^data: (.+)$", fitted.events, re.M)]
    marks = re.findall(r"^id: (.+)$", fitted.events, re.M)
    assert kinds == ["job"] * (len(kinds) - 1) + ["end"]
    assert len(kinds) == len(told) == len(set(marks)) > 3
    assert told[-1] == fitted.job
    stages = list(dict.fromkeys(one["stage"] for one in told if one["stage"]))
    assert {"validate", "train@three_cnn"} & set(stages)
    assert [one["stages_done"] for one in told] == sorted(one["stages_done"] for one in told)
    again = client.get(f"/jobs/{fitted.job['id']}/events", headers={"Last-Event-ID": marks[-1]})
    assert again.headers["content-type"].startswith("text/event-stream")
    assert re.findall(r"^event: (\w+)$", again.text, re.M) == ["end"]


@pytest.mark.slow
def test_the_log_can_be_read_in_pieces(fitted: Fitted, client: TestClient) -> None:
    path = f"/jobs/{fitted.job['id']}/log"
    whole = client.get(path)
    assert "Running stage 'train@three_cnn':" in whole.text
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    end = int(whole.headers["X-Next-Offset"])
    assert end == len(whole.content)
    assert client.get(path, params={"offset": 100}).content == whole.content[100:]
    assert client.get(path, params={"offset": end + 100}).content == b""
    assert client.get(path, params={"tail": 3}).text == "".join(whole.text.splitlines(keepends=True)[-3:])
    refused = client.get(path, params={"tail": 3, "offset": 1})
    assert (refused.status_code, refused.json()["detail"]) == (422, "give either offset or tail")


@pytest.mark.slow
def test_a_fit_is_logged_and_its_champion_registered(fitted: Fitted) -> None:
    mlflow = MlflowClient(fitted.settings.mlflow_uri)
    experiment = mlflow.get_experiment_by_name("fakeprint")
    assert experiment is not None
    assert experiment.artifact_location == (fitted.folder.resolve() / "mlartifacts").as_uri()
    # other tests may have added jobs; theirs came later
    run = min(mlflow.search_runs([experiment.experiment_id]), key=lambda run: int(run.info.start_time))
    assert (run.info.run_name, run.info.status) == ("three_cnn", "FINISHED")
    assert len(mlflow.get_metric_history(run.info.run_id, "validation_loss")) == 2
    assert run.info.run_id in [each.run_id for each in mlflow.search_model_versions("name = 'fakeprint-jobs'")]
    assert mlflow.get_model_version_by_alias("fakeprint-jobs", "champion").run_id


@pytest.mark.slow
def test_jobs_are_listed_and_cancelling_an_ended_one_changes_nothing(fitted: Fitted, client: TestClient) -> None:
    assert fitted.job in client.get("/jobs", params={"limit": 200}).json()["jobs"]
    path = f"/jobs/{fitted.job['id']}"
    cancelled = client.delete(path)
    assert (cancelled.status_code, cancelled.json()) == (200, fitted.job)
    assert client.get("/jobs", params={"after": "x"}).status_code == 404


def post_dataset(client: TestClient) -> str:
    sent = client.post("/datasets", files={"archive": ("a.zip", zip_of(class_folders(2)))})
    return str(sent.json()["id"])


@pytest.mark.slow
def test_a_job_waits_is_found_by_its_key_and_can_be_cancelled(api: Api) -> None:
    client = api()
    dataset = post_dataset(client)
    body = {"dataset": dataset, "parameters": {"train.epochs": 3}, "title": "mine"}
    first = client.post("/fit", json=body, headers={"Idempotency-Key": "k"})
    assert (first.status_code, first.json()["state"]) == (202, "queued")
    assert first.headers["Location"] == f"/jobs/{first.json()['id']}"
    again = client.post("/fit", json=body, headers={"Idempotency-Key": "k"})
    assert again.json() == first.json()
    other = client.post("/fit", json=body | {"title": "yours"}, headers={"Idempotency-Key": "k"})
    assert other.status_code == 422
    assert client.get("/jobs").json() == {"jobs": [first.json()], "next": None}
    assert client.get(f"/jobs/{first.json()['id']}/log").text == ""
    used = client.delete(f"/datasets/{dataset}")
    assert used.status_code == 409
    assert used.json()["detail"] == (
        f"the data set {dataset} is in use by the job {first.json()['id']}; cancel it first"
    )
    assert client.delete(first.headers["Location"]).json()["state"] == "cancelled"
    assert client.delete(f"/datasets/{dataset}").status_code == 204
    assert client.get(first.headers["Location"]).json()["dataset"] == dataset


@pytest.mark.slow
def test_a_form_starts_a_fit_and_keeps_its_data_set(api: Api) -> None:
    client = api()
    sent = {"archive": ("mine.zip", zip_of(class_folders(2)))}
    refused = client.post("/fit", files=sent, data={"parameters": '{"train.epochs": 0}'})
    assert refused.status_code == 422
    assert client.get("/datasets").json() == {"datasets": []}
    job = client.post("/fit", files=sent, data={"parameters": '{"train.epochs": 3}', "preset": "unibuc"}).json()
    assert (job["preset"], job["parameters"], job["title"]) == ("unibuc", {"train.epochs": 3}, "mine.zip")
    (dataset,) = client.get("/datasets").json()["datasets"]
    assert dataset["id"] == job["dataset"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "dmo"}, "there is no preset 'dmo'; did you mean 'demo'?"),
        ({"preset": "../../etc/passwd"}, "there is no preset '../../etc/passwd'; known: demo, system-a"),
        (
            {"parameters": {"data.path": "/etc"}},
            "parameters: 'data.path' cannot be set; did you mean 'data.",
        ),
        ({"parameters": {"train.device": "cuda"}}, "parameters: 'train.device' cannot be set"),
        ({"parameters": {"models.vgg16.weights": "x"}}, "parameters: 'models.vgg16.weights' cannot be set"),
        ({"parameters": {"train.epochs": 0}}, "parameters: train.epochs: input should be greater than 0, not 0"),
        ({"parameters": {"run.networks": ["x"]}}, "parameters: run.networks: 'x' is unknown; known: hist_cnn"),
        ({"parameters": {"data.class_names": {"z": "a"}}}, "data.class_names: the source has no class 'z'"),
        ({"parameters": {"data.group_column": "x"}}, "group_column has no effect with layout: folders"),
        ({"parameters": {"seed": "\x00"}}, "parameters: seed: input should be a valid integer, not '\\x00'"),
        ({"dataset": "0" * 32}, "there is no such data set; `GET /datasets` lists yours"),
        ({"path": "x"}, "path: Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(
    refusing: tuple[TestClient, Any], changes: dict[str, Any], message: str
) -> None:
    client, _ = refusing
    response = client.post("/fit", json={"dataset": post_dataset(client)} | changes)
    assert response.status_code in (404, 422)
    assert message in response.json()["detail"]
    assert "\n" not in response.json()["detail"]
    assert client.get("/jobs").json()["jobs"] == []


@pytest.mark.slow
def test_bodies_of_another_kind_are_refused(api: Api) -> None:
    client = api()
    assert client.post("/fit", content=b"dataset=x").status_code == 415
    big = client.post("/fit", content=b" " * (2**20 + 1), headers={"content-type": "application/json"})
    assert (big.status_code, big.json()["detail"]) == (413, "the JSON is longer than 1024 KiB")
    many = client.post("/fit", json={"parameters": {"train.epochs": [1] * 20_000}})
    line = "the JSON has far more keys and values than a fit takes; leave the others out"
    assert (many.status_code, many.json()["detail"]) == (413, line)
    nonsense = client.post("/fit", content=b"{", headers={"content-type": "application/json"})
    assert nonsense.status_code == 422


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_nul_is_refused_whatever_the_database(api: Api, database: str, request: pytest.FixtureRequest) -> None:
    """Postgres stores none, and refuses to look for one."""
    client = api(database=request.getfixturevalue("postgres_url") if database == "postgres" else None)
    dataset = post_dataset(client)
    for path in ("/jobs/%00", "/jobs/%00/log", "/jobs?after=%00", "/datasets/%00", "/datasets/%00/images"):
        assert client.get(path).status_code == 404, path
    assert [client.delete(path).status_code for path in ("/jobs/%00", "/datasets/%00")] == [404, 404]
    assert client.post("/fit", json={"dataset": "\0"}).status_code == 404
    line = "title: Value error, it has the character U+0000; leave that out"
    refused = client.post("/fit", json={"dataset": dataset, "title": "a\0"})
    assert (refused.status_code, refused.json()["detail"]) == (422, line)
    archive = {"archive": ("a.zip", zip_of(class_folders(2)))}
    refused = client.post("/fit", files=archive, data={"title": "a\0"})
    assert (refused.status_code, refused.json()["detail"]) == (422, line)
    images = [("files", (name, png(number, "plain"))) for number, name in enumerate("ab")]
    labelled = client.post("/datasets", files=images, data={"labels": ["a\0", "b"], "name": "\0"})
    assert (labelled.status_code, labelled.json()["classes"]) == (201, {"a\0": 1, "b": 1})
    for identity in (dataset, labelled.json()["id"]):  # others use the same Postgres
        assert client.delete(f"/datasets/{identity}").status_code == 204


@pytest.mark.slow
def test_options_list_presets_and_parameters_with_defaults(api: Api) -> None:
    client = api()
    known = client.get("/fit/options").json()
    assert next(iter(known["presets"])) == "demo"
    assert known["presets"]["system-d"] == "System D: linear baselines on a pretrained backbone, CIFAKE."
    epochs = known["parameters"]["train.epochs"]
    assert (epochs["default"], epochs["type"], epochs["exclusiveMinimum"]) == (24, "integer", 0)
    assert "$ref" not in json.dumps(known["parameters"])
    assert (
        client.get("/fit/options", params={"preset": "system-d"}).json()["parameters"]["train.epochs"]["default"] == 15
    )
    assert not {name for name in known["parameters"] if re.search("path|weights|device|workers|verdicts", name)} - {
        "train.class_weights"
    }
    assert set(TINY) <= set(known["parameters"])


@pytest.mark.slow
def test_too_many_waiting_jobs_and_foreign_ones(api: Api) -> None:
    client = api(max_queued=1, require_keys=True)
    engine = client.app.state.engine  # type: ignore[attr-defined]
    keys = {name: {"X-API-Key": create_key(engine, name, [scope])} for name, scope in (("a", "fit"), ("b", "predict"))}
    keys["c"] = {"X-API-Key": create_key(engine, "c", ["fit"])}
    sent = client.post("/datasets", files={"archive": ("a.zip", zip_of(class_folders(2)))}, headers=keys["a"])
    body = {"dataset": sent.json()["id"]}
    assert client.post("/fit", json=body, headers=keys["b"]).status_code == 403
    assert client.post("/fit", json=body, headers=keys["c"]).status_code == 404
    job = client.post("/fit", json=body, headers=keys["a"]).json()
    refused = client.post("/fit", json=body, headers=keys["a"])
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/log", f"/jobs/{job['id']}/events"):
        assert client.get(path, headers=keys["c"]).status_code == 404
        assert client.get(path).status_code == 401
    assert client.get("/jobs", headers=keys["c"]).json()["jobs"] == []


@pytest.mark.slow
def test_the_profile_of_a_data_set_is_computed_once(fitted: Fitted, client: TestClient, fast_stages: None) -> None:
    first = client.get("/eda", params={"dataset": fitted.dataset})
    assert first.status_code == 200, first.text
    profile = first.json()
    counts = profile["splits"]
    assert {label: sum(split[label] for split in counts.values()) for label in ("plain", "stripes")} == {
        "plain": EACH,
        "stripes": EACH,
    }
    assert profile["sizes"] == {"32 × 32": 2 * EACH}
    assert all(100 < mean < 140 for mean in profile["channel_means"])
    assert any("file_length" in line for line in profile["shortcuts"])
    assert set(profile["pictures"]) == {"audits", "channels", "class_counts", "samples", "sizes"}
    assert client.get("/eda", params={"dataset": fitted.dataset}).json() == profile
    members = class_folders(EACH)
    sent = {"archive": ("again.zip", zip_of(members))}
    assert client.post("/eda", files=sent).json() == profile | {"dataset": "again.zip"}
    assert client.get("/eda", params={"dataset": "0" * 32}).status_code == 404


@pytest.mark.slow
def test_a_profile_says_why_there_is_none(api: Api, fast_stages: None, tmp_path: Any) -> None:
    broken = {f"{label}/{n}.png": b"\x89PNG" for label in "ab" for n in range(3)}
    response = api().post("/eda", files={"archive": ("a.zip", zip_of(broken))})
    assert (response.status_code, response.json()["detail"]) == (422, "2 class(es) have no usable train image: a, b")
    late = api(eda_seconds=0.01).post("/eda", files={"archive": ("a.zip", zip_of(broken))})
    assert late.json()["detail"] == "the profile takes longer than 0.01 s (FAKEPRINT_EDA_SECONDS)"
    assert list((tmp_path / "uploads").iterdir()) == []
