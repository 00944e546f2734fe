"""A study in MLflow: one run with the aggregates, the cells' runs below it, and MLflow's own comparison of them."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest

from fakeprint import params, tracking
from fakeprint.errors import InputError
from fakeprint.tracking.session import Session
from tests.tracking.conftest import Server

pytestmark = pytest.mark.slow

ARMS = {"no flip": {"accuracy": {"n": 2, "mean": 0.8, "sd": 0.01}}}
CELLS = {
    ("s-baseline-1-aa", "hist_cnn"): "baseline, seed 1",
    ("s-no-flip-1-bb", "hist_cnn"): "no flip, seed 1",
}


def report(settings: params.Params, name: str = "flips", **changed: Any) -> list[str]:
    Path("flips.md").write_text("better")
    content: dict[str, Any] = {
        "about": {"question": "Do flips help?"},
        "aggregates": {"hist_cnn": ARMS},
        "table": [{"arm": "no flip", "mean": 0.8}, {"arm": "baseline", "verdict": "–"}],
        "files": [Path("flips.md"), Path("missing.png")],
        "cells": CELLS,
        "description": "no flip is **worse**",
    }
    return tracking.record_study(settings, name, **content | changed)


def made(session: Session, name: str, *experiments: str) -> str:
    """A model's run as the stage `track` leaves it."""
    tags = {f"dvc.experiment.{experiment}": "true" for experiment in experiments}
    run_id: str = session.client.create_run(session.experiment_id, None, tags, name).info.run_id
    session.client.log_metric(run_id, "accuracy", 0.8)
    session.client.set_terminated(run_id)
    return run_id


def test_a_study_has_one_run_and_its_cells_are_below_it(settings: params.Params) -> None:
    session = Session(settings.tracking.experiment)
    ours = [made(session, "hist_cnn", "s-baseline-1-aa", "another"), made(session, "hist_cnn", "s-no-flip-1-bb")]
    others = [made(session, "lda", "s-baseline-1-aa"), made(session, "hist_cnn", "workspace")]
    assert report(settings) == ours
    [parent] = session.runs("tags.`fakeprint.study` = 'flips'")
    assert parent.info.run_name == "study flips" and parent.info.status == "FINISHED"
    assert parent.data.params == {"question": "Do flips help?"}
    assert parent.data.metrics["hist_cnn/no flip/accuracy/mean"] == 0.8
    assert parent.data.tags["mlflow.note.content"] == "no flip is **worse**"
    children = {
        run.info.run_id: run.data.tags for run in session.runs(f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    }
    assert {run_id: tags["study.flips"] for run_id, tags in children.items()} == dict(
        zip(ours, CELLS.values(), strict=True)
    )
    assert not any("study.flips" in session.client.get_run(run_id).data.tags for run_id in others)
    artifacts = {file.path for file in session.client.list_artifacts(parent.info.run_id)}
    assert artifacts == {"arms.json", "flips.md"}
    table = json.loads(Path(session.client.download_artifacts(parent.info.run_id, "arms.json")).read_text())
    assert table == {"columns": ["arm", "mean", "verdict"], "data": [["no flip", 0.8, None], ["baseline", None, "–"]]}


def test_a_second_report_updates_the_same_run(settings: params.Params) -> None:
    session = Session(settings.tracking.experiment)
    first, second = made(session, "hist_cnn", "s-baseline-1-aa"), made(session, "hist_cnn", "s-no-flip-1-bb")
    report(settings)
    later = {"no flip": {"accuracy": {"n": 3, "mean": 0.7, "verdict": "worse"}}}
    assert report(settings, aggregates={"hist_cnn": later}, cells=dict([list(CELLS.items())[1]])) == [second]
    [parent] = session.runs("tags.`fakeprint.study` = 'flips'")
    assert parent.data.metrics["hist_cnn/no flip/accuracy/mean"] == 0.7
    assert parent.data.metrics["hist_cnn/no flip/accuracy/n"] == 3
    released = session.client.get_run(first).data.tags
    assert "study.flips" not in released and "mlflow.parentRunId" not in released


def test_a_run_of_two_studies_stays_below_the_first(settings: params.Params) -> None:
    session = Session(settings.tracking.experiment)
    shared = made(session, "hist_cnn", "s-baseline-1-aa", "s-no-flip-1-bb")
    assert report(settings) == [shared] == report(settings, "more")
    tags = session.client.get_run(shared).data.tags
    [first] = session.runs("tags.`fakeprint.study` = 'flips'")
    assert tags["mlflow.parentRunId"] == first.info.run_id
    assert tags["study.flips"] == tags["study.more"] == "baseline, seed 1; no flip, seed 1"


def test_without_tracking_nothing_is_written(settings: params.Params) -> None:
    off = settings.model_copy(update={"tracking": settings.tracking.model_copy(update={"enabled": False})})
    assert report(off) == []
    assert Session(settings.tracking.experiment).runs("tags.`fakeprint.study` = 'flips'") == []


def test_a_server_that_is_away_is_one_warning(
    settings: params.Params, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert report(settings) == []
    assert capfd.readouterr().err.count("warning: MLflow at http://127.0.0.1:9 is not used") == 1


def test_the_comparison_is_of_the_studys_runs(settings: params.Params) -> None:
    session = Session(settings.tracking.experiment)
    ours = [made(session, "hist_cnn", experiment) for experiment, _ in CELLS]
    made(session, "hist_cnn", "workspace")
    report(settings)
    address = tracking.compare_page(settings.tracking.experiment, "flips", 5001)
    start, _, query = address.partition("?")
    assert start == "http://127.0.0.1:5001/#/compare-runs"
    listed = {key: json.loads(unquote(value[0])) for key, value in parse_qs(query).items()}
    assert listed == {"runs": ours, "experiments": [session.experiment_id]}


def test_a_comparison_needs_two_runs(settings: params.Params) -> None:
    with pytest.raises(InputError) as error:
        tracking.compare_page(settings.tracking.experiment, "flips", 5001)
    assert str(error.value) == (
        "flips: MLflow has 0 runs of this study, and a comparison needs two; "
        "`fakeprint study report flips` attaches the runs of its finished cells"
    )


def test_mlflows_page_compares_them(server: Server, settings: params.Params, tmp_path: Path) -> None:
    """In Chromium, on a real server: both runs stand side by side."""
    sync_api = pytest.importorskip("playwright.sync_api")
    from tests.explain.chromium import BROWSER

    if BROWSER is None:
        pytest.skip("chromium is not installed; Debian: apt install chromium")
    session = Session(settings.tracking.experiment)
    ours = [made(session, "hist_cnn", experiment) for experiment, _ in CELLS]
    assert report(settings) == ours
    address = tracking.compare_page(settings.tracking.experiment, "flips", server.port)
    assert address.startswith(f"{server.address}/#/compare-runs")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(address, wait_until="commit", timeout=90_000)
        page.get_by_text("Comparing 2 Runs").first.wait_for(timeout=90_000)
        for run_id in ours:
            page.get_by_text(run_id).first.wait_for(timeout=30_000)
        page.screenshot(path=tmp_path / "compare.png")
        browser.close()
    assert (tmp_path / "compare.png").stat().st_size > 10_000
