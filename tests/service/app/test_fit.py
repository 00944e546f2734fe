from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fakeprint.service.app import fit
from tests.service.app.conftest import Opener
from tests.service.app.fake_api import THEN, World, job

CURVE = [
    {"epoch": n, "train_loss": 1 / n, "validation_loss": 1.1 / n, "validation_accuracy": 1 - 1 / n} for n in (1, 2)
]
FIGURES = {"accuracy": 0.7, "low": 0.65, "high": 0.75, "macro_f1": 0.69}
PARAMETERS = {
    "train.epochs": {"type": "integer", "minimum": 1, "default": 25},
    "model.dropout": {
        "anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"type": "null"}],
        "default": 0.5,
    },
    "train.ema": {"type": "boolean", "default": False},
    "train.schedule": {"enum": ["cosine", "step"], "default": "cosine"},
    "run.networks": {"type": "array", "items": {"enum": ["hist_cnn", "trace_net"]}, "default": ["hist_cnn"]},
    "run.features": {"type": "array", "items": {"type": "string"}, "default": ["hsv_hist", "spectrum"]},
    "prepare.size": {"type": "array", "items": {"type": "integer"}, "default": [1, 2]},
    "data.title": {"type": "string", "default": "demo"},
}


def markdown(app: AppTest) -> str:
    return " ".join(each.value for each in app.markdown)


def test_a_fit_is_started_with_what_differs_from_the_preset(world: World, page: Opener) -> None:
    world.dataset()
    world.parameters = PARAMETERS
    app = page("fit")
    app.multiselect[0].set_value(list(PARAMETERS)).run()
    app.number_input(key="demo-train.epochs").set_value(3)
    app.checkbox(key="demo-train.ema").check()
    app.multiselect(key="demo-run.networks").set_value(["trace_net"])
    app.multiselect(key="demo-run.features").set_value(["spectrum", "rgb_hist"])
    app.text_input(key="demo-prepare.size").set_value("[3]")
    next(each for each in app.text_input if each.label == "Title").set_value("mine")
    app.run()
    next(each for each in app.button if each.label == "Start").click().run()
    assert not app.exception
    (_, request), *rest = world.requests
    assert not rest
    assert request == {
        "dataset": "d1",
        "preset": "demo",
        "title": "mine",
        "parameters": {
            "train.epochs": 3,
            "train.ema": True,
            "run.networks": ["trace_net"],
            "run.features": ["spectrum", "rgb_hist"],
            "prepare.size": [3],
        },
    }
    assert app.query_params["job"] == "j9" and app.title[0].value == "mine"
    assert "waits for a worker" in markdown(app)


def test_without_a_title_the_job_is_called_as_its_data(world: World, page: Opener) -> None:
    world.dataset(name="my images")
    next(each for each in page("fit").button if each.label == "Start").click().run()
    assert world.requests[0][1]["title"] == "my images" and not world.requests[0][1]["parameters"]  # type: ignore[index]


@pytest.mark.slow
def test_every_parameter_of_the_real_api_has_a_field_that_starts_at_the_default(world: World, page: Opener) -> None:
    from fakeprint.service.jobs.options import options

    world.dataset()
    world.parameters = options("system-e").parameters
    app = page("fit")
    app.multiselect[0].set_value(list(world.parameters)).run()
    assert not app.exception and not app.error
    next(each for each in app.button if each.label == "Start").click().run()
    assert world.requests[0][1]["parameters"] == {}  # type: ignore[index]


def test_what_is_no_json_is_named_and_not_sent(world: World, page: Opener) -> None:
    world.dataset()
    world.parameters = PARAMETERS
    app = page("fit")
    app.multiselect[0].set_value(["prepare.size"]).run()
    app.text_input(key="demo-prepare.size").set_value("1, x").run()
    assert r"prepare\.size\: '1, x' is no JSON" in app.error[0].value
    assert next(each for each in app.button if each.label == "Start").disabled


def test_a_refused_fit_is_one_line(world: World, page: Opener) -> None:
    world.dataset()
    app = page("fit")
    start = next(each for each in app.button if each.label == "Start")
    world.jobs = {}
    world.refusal = (429, "32 jobs wait already; try again later")
    start.click().run()
    assert "32 jobs wait already; try again later" in app.error[0].value
    world.refusal = None
    app.run()
    next(each for each in app.button if each.label == "Start").click().run()
    assert "job" in app.query_params and len(world.keys) == 2 and len(set(world.keys)) == 1  # one job, sent twice


def test_without_data_the_page_says_how_to_get_it(world: World, page: Opener) -> None:
    assert "Send a data set on the page Data first" in page("fit").info[0].value


def test_a_running_job_shows_stage_epoch_time_and_curves(world: World, page: Opener) -> None:
    progress = {"stage": "train@hist_cnn", "stages_done": 7, "stages": 23, "epoch": 2, "epochs": 25, "eta_seconds": 250}
    world.jobs["j1"] = job("j1", curve=CURVE, attempts=2, **progress)
    app = page("fit", job="j1")
    bar = app.get("progress")[0].proto
    assert bar.value == 30 and bar.text == (
        r"7 of 23 stages done, now train@hist\_cnn, epoch 2 of 25, about 4 min left"
    )
    assert "**Accuracy per epoch**" in markdown(app) and "**Loss per epoch**" in markdown(app)
    assert "Started 2 times" in " ".join(each.value for each in app.caption)
    app.toggle(key="log").set_value(True).run()
    assert app.code[0].value.splitlines() == [f"line {number}" for number in range(20, 60)]


def test_a_job_is_cancelled(world: World, page: Opener) -> None:
    world.jobs["j1"] = job("j1")
    app = page("fit", job="j1")
    app.button(key="cancel").click().run()
    assert world.jobs["j1"].state == "cancelling"
    assert "is being cancelled" in markdown(app) and app.button(key="cancel").disabled


def test_a_lost_connection_does_not_end_the_watch(world: World, page: Opener) -> None:
    world.jobs["j1"] = job("j1")
    app = page("fit", job="j1")
    world.refusal = (503, "the API is starting")
    app.run()
    assert "the API is starting" in app.error[0].value
    world.refusal = None
    app.run()
    assert "running" in markdown(app) and not app.error


def test_the_model_of_a_finished_job_is_made_to_answer(world: World, page: Opener) -> None:
    end = THEN.replace(minute=14)
    world.jobs["j2"] = job("j2", "succeeded", finished=end, champion="svm", metrics=FIGURES, model="second")
    app = page("fit", job="j2")
    assert "70.0 % (65.0–75.0)" in markdown(app) and list(app.dataframe[0].value["value"]) == ["0.690"]
    assert "after about 10 min" in markdown(app) and app.subheader[0].value == "The champion: svm"
    next(each for each in app.button if each.label == "Let this model answer").click().run()
    assert not app.exception
    assert [each.serves for each in world.models] == [False, True]
    assert "This model answers now" in app.success[-1].value


def test_a_failed_job_says_why(world: World, page: Opener) -> None:
    world.jobs["j3"] = job("j3", "failed", error="data: one class only")
    assert page("fit", job="j3").error[0].value == r"data\: one class only"


def test_an_unknown_job_is_reported_and_the_list_is_one_button_away(world: World, page: Opener) -> None:
    world.jobs["j1"] = job("j1", title="mine")
    app = page("fit", job="gone")
    assert app.error[0].value == "there is no job 'gone'"
    app.button[0].click().run()
    assert "mine" in markdown(app)


def test_jobs_are_listed_in_pages(world: World, page: Opener) -> None:
    world.jobs = {name: job(name, title=name) for name in ("j1", "j2", "j3")}
    app = page("fit")
    assert "j2" in markdown(app) and "j3" not in markdown(app)
    next(each for each in app.button if each.label == "Older jobs").click().run()
    assert "j3" in markdown(app) and "j2" not in markdown(app)
    app.button(key="open-j3").click().run()
    assert app.title[0].value == "j3"


def test_a_title_is_shown_as_it_is_everywhere(world: World, page: Opener) -> None:
    world.jobs["j1"] = job("j1", title="*a* [b](http://c) :red[d]")
    shown = r"\*a\* \[b\]\(http\://c\) \:red\[d\]"
    app = page("fit")
    button = app.button(key="open-j1")
    assert f"**{shown}**" in markdown(app) and button.help == f"Job {shown}"
    button.click().run()
    assert app.title[0].value == shown


def test_points_of_curves() -> None:
    points = fit.curve_points(CURVE, "loss")
    assert [(each["curve"], each["epoch"]) for each in points] == [
        ("train", 1), ("validation", 1), ("train", 2), ("validation", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("query", [{}, {"job": "j1"}])
def test_the_whole_app_opens_where_its_address_leads(world: World, query: dict[str, str]) -> None:
    world.jobs["j1"] = job("j1", title="mine")
    app = AppTest.from_file(str(Path(fit.__file__).with_name("main.py")), default_timeout=60)
    app.query_params.update(query)
    app.run()
    assert not app.exception
    assert app.title[0].value == ("mine" if query else "Which generator made this image?")
