"""`fakeprint search` in several processes: one search with all its trials, whoever is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from fakeprint import tracking
from fakeprint.__main__ import main
from fakeprint.errors import InputError
from fakeprint.search import running, scoring, space, storage, trials
from fakeprint.training import checkpoints
from tests.commands.test_search import clone
from tests.service.postgres import postgres_url

__all__ = ["clone", "postgres_url"]  # fixtures

pytestmark = pytest.mark.slow

FILE = """
model: logistic
trials: 6
sampler: grid
fixed: {run.workers: 1, classifiers.logistic.augmented: false, classifiers.logistic.features: [hsv_hist]}
ranges:
  classifiers.logistic.C: {choices: [1.0e-5, 1.0e-4, 1.0e-3, 1.0e-2, 0.1, 1.0]}
"""
NETWORK = """
model: three_cnn
trials: 10
seed: 3
sampler: tpe
pruner: median
folds: [0]
fixed: {train.epochs: 6, train.batch_size: 8, train.augmented: false, train.early_stopping: 0, train.device: cpu}
ranges:
  train.lr: {low: 1.0e-8, high: 1.0e-2, log: true}
"""
WORDS = [sys.executable, "-m", "fakeprint", "search", "searches/it.yaml"]
KILLED_IN_A_TRIAL = """
import sys, time
from pathlib import Path
from fakeprint.search import space, storage, trials
plan, root = space.load(Path("searches/it.yaml")), Path.cwd()
with storage.opened(storage.location(None, root), trials.study_name(plan), root) as search:
    trials._next_trial(plan, search, 6, print)
    print("running", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def here(clone: Path) -> Path:
    """A search of six trials, each of milliseconds, without MLflow."""
    Path("searches/it.yaml").write_text(FILE, encoding="utf-8")
    track(False)
    return clone


def track(enabled: bool) -> None:
    content = YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))
    content["tracking"]["enabled"] = enabled
    with Path("params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(content, file)


def plan() -> space.Plan:
    return space.load(Path("searches/it.yaml"))


@contextmanager
def opened(place: str | None = None, root: Path | None = None) -> Iterator[storage.StoredSearch]:
    root = root or Path.cwd()
    with storage.opened(storage.location(place, root), trials.study_name(plan()), root) as search:
        yield search


def require_each_point_once(search: storage.StoredSearch) -> None:
    """All six points of the grid have a score, at a place of their own, and no trial runs."""
    found = trials.finished(search.study)
    assert sorted(trial.user_attrs[trials.PLACE] for trial in found) == list(range(6))
    values = [trials.values_of(plan(), trial)["classifiers.logistic.C"] for trial in found]
    assert sorted(values) == [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0]
    assert all(trial.state.name == "COMPLETE" and trials.TWIN not in trial.user_attrs for trial in found)
    assert search.running() == []


def workers(parent: subprocess.Popen[str]) -> list[psutil.Process]:
    """Both processes of `--jobs 2`, as soon as they are there."""
    while parent.poll() is None:
        found = [each for each in psutil.Process(parent.pid).children(recursive=True) if _works(each)]
        if len(found) == 2:
            return found
        time.sleep(0.02)
    raise AssertionError(parent.communicate())


def _works(process: psutil.Process) -> bool:
    """Whether a process works on a search; one that has ended meanwhile, as `git` of the start does, does not."""
    try:
        return process.cmdline()[1:3] == ["-m", "fakeprint.search.worker"]
    except psutil.NoSuchProcess:
        return False


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*WORDS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_whoever_is_killed_the_search_ends_with_each_point_once(here: Path) -> None:
    track(True)
    with subprocess.Popen([sys.executable, "-c", KILLED_IN_A_TRIAL], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "running\n"
        process.kill()
    search = started("--jobs", "2")
    workers(search)[0].send_signal(signal.SIGKILL)
    out, err = search.communicate()
    assert search.returncode == 0, err
    assert err.startswith("warning: process ") and "ended (killed; " in err and "; the other one goes on" in err
    counted = [line.split(":")[0].split(", ")[1] for line in out.splitlines() if line.startswith("trial ")]
    assert counted == [f"{count} of 6" for count in range(1, 7)]
    with opened() as stored:
        require_each_point_once(stored)
        killed = stored.study.trials[0]
        assert killed.state.name == "FAIL" and trials.REASON not in killed.user_attrs

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{here / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fakeprint")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert [run.data.tags.get("mlflow.parentRunId") for run in runs if run is not parent] == [parent.info.run_id] * 6
    curve = client.get_metric_history(parent.info.run_id, "best_accuracy")
    assert [point.step for point in curve] == list(range(1, 7))


def test_a_signal_ends_all_processes_and_the_same_command_goes_on(here: Path) -> None:
    search = started("--jobs", "2")
    processes = workers(search)
    search.send_signal(signal.SIGTERM)
    _, err = search.communicate()
    assert search.returncode == 130
    assert err.splitlines()[-1].startswith("it: interrupted after ")
    assert err.endswith(" of 6 trials; run the same command to continue\n")
    assert not [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    with opened() as stored:
        assert stored.running() == []
        running.run(plan(), stored, 6, 1, print)
        require_each_point_once(stored)
    assert not list((here / storage.FOLDER).glob("*/*"))  # neither locks nor logs are left


def test_where_all_processes_end_early_one_line_says_why(here: Path) -> None:
    search = started("--jobs", "2")
    for each in workers(search):
        each.kill()
    _, err = search.communicate()
    assert search.returncode == 1
    line = err.splitlines()[-1]
    assert line.startswith("error: searches/it.yaml: stopped after ") and " of 6 trials: killed (" in line


def test_a_second_command_joins_and_both_show_the_result(
    here: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As from two machines: one database by its URL, whose password is never shown."""
    monkeypatch.setenv(storage.VARIABLE, postgres_url.replace("fakeprint@", "fakeprint:opensesame@"))
    other = started()
    monkeypatch.setattr(sys, "argv", ["fakeprint", "search", "searches/it.yaml"])
    main()
    out, err = other.communicate()
    assert other.returncode == 0, err
    printed = capsys.readouterr()
    assert "6 trials: 0 pruned, 0 failed" in out and "6 trials: 0 pruned, 0 failed" in printed.out
    lines = [line for line in (out + printed.out).splitlines() if line.startswith("trial ")]
    assert sorted(int(line.removeprefix("trial ").split(",")[0]) for line in lines) == list(range(6))
    with opened() as stored:
        require_each_point_once(stored)
    assert "opensesame" not in out + err + printed.out + printed.err
    monkeypatch.setenv(storage.VARIABLE, postgres_url.replace("fakeprint@", "nobody:opensesame@"))
    with pytest.raises(SystemExit, match="1"):
        main()
    line = capsys.readouterr().err
    assert line.startswith("error: FAKEPRINT_SEARCH_STORAGE: postgresql+psycopg://127.0.0.1:")
    assert line.count("\n") == 1 and "opensesame" not in line


def test_another_machine_s_trial_is_given_up_without_signs_of_life(here: Path, tmp_path_factory: Any) -> None:
    """Its process has no lock here, so that only signs of life can tell. It may return, and is not counted."""
    place, elsewhere = f"sqlite:///{here / 'shared.db'}", tmp_path_factory.mktemp("elsewhere")
    with opened(place, elsewhere) as slept, opened(place) as stored:
        trial = trials._next_trial(plan(), slept, 6, print)
        assert trial is not None and trial.number == 0
        second = trials._next_trial(plan(), stored, 6, print)
        assert second is not None and second.params != trial.params
        stored.study.tell(second, 0.5)
        with sqlite3.connect(here / "shared.db") as database:
            database.execute("UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour')")
        running.run(plan(), stored, 6, 1, print)
        lines: list[str] = []
        numbers = trials.fold_numbers(plan().settings({}))
        trials._run_trial(plan(), slept, trial, numbers, tracking.TrackedSearch())
        lines.append(trials.line(plan(), slept.study, 0, 6, 6, 0))
        assert "given up, because it showed no sign of life for 300 s; its values are tried again" in lines[0]
        require_each_point_once(stored)


def test_the_same_values_wait_for_the_process_that_tries_them(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("searches/it.yaml").write_text(FILE.replace("grid", "random"), encoding="utf-8")
    monkeypatch.setattr(scoring, "_classifier_accuracy", lambda *_: pytest.fail("tried twice"))
    none = tracking.TrackedSearch()
    with opened() as first, opened() as second:
        one = trials._next_trial(plan(), first, 40, print)
        other = trials._next_trial(plan(), second, 40, print)
        while one is not None and other is not None and other.params != one.params:
            second.study.tell(other, 0.5)
            other = trials._next_trial(plan(), second, 40, print)
        assert one is not None and other is not None
        looks: list[float] = []

        def pause(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 2:
                first.study.tell(one, 0.25)

        monkeypatch.setattr(time, "sleep", pause)
        trials._run_trial(plan(), second, other, trials.fold_numbers(plan().settings({})), none)
        told = second.study.trials[other.number]
        assert (told.value, told.user_attrs[trials.TWIN]) == (0.25, one.number) and len(looks) == 2


def test_networks_are_pruned_in_two_processes_and_a_killed_training_goes_on(here: Path) -> None:
    """TPE draws the first eight values at random, by place, so that they do not depend on processes."""
    Path("searches/it.yaml").write_text(NETWORK, encoding="utf-8")
    with opened(f"sqlite:///{here / 'drawn.db'}") as stored:
        drawn = [trials._next_trial(plan(), stored, 10, print) for _ in range(8)]
    search = started("--jobs", "2")
    killed = workers(search)[0]
    while len(list((here / checkpoints.FOLDER).glob("[!.]*.pt"))) < 2 and search.poll() is None:
        time.sleep(0.02)
    killed.kill()
    out, err = search.communicate()
    assert search.returncode == 0, err
    assert "ended (killed; " in err
    with opened() as stored:
        found = {trial.user_attrs[trials.PLACE]: trial for trial in trials.finished(stored.study)}
        assert stored.running() == [] and sorted(found) == list(range(10))
        assert [found[place].params for place in range(8)] == [trial.params for trial in drawn if trial]
        pruned = [trial for trial in found.values() if trial.state.name == "PRUNED"]
        best = trials.best_trials(stored.study)[0]
    assert f"10 trials: {len(pruned)} pruned, 0 failed" in out
    assert found[5] in pruned and found[5].params["train.lr"] < 1e-6  # too slow to learn anything
    assert best.value is not None and best.value > 0.9
    # the killed one's was used, and removed; a file that it was writing when it was killed stays for an hour
    assert not list((here / checkpoints.FOLDER).glob("[!.]*"))


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in running.THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    assert set(running.threads(2).values()) == {"4"} and set(running.threads(16).values()) == {"1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert running.threads(2)["OMP_NUM_THREADS"] == "3" and running.threads(2)["MKL_NUM_THREADS"] == "4"


FORM = "give postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("opensesame", f"is not the URL of a database; {FORM}"),
        ("mysql://me:opensesame@host/db", f"searches cannot be stored in mysql; {FORM}"),
        ("sqlite://", f"sqlite:// is a database in memory, so trials are not stored; {FORM}"),
        ("sqlite:////nowhere/it.db", "there is no folder /nowhere for sqlite:////nowhere/it.db"),
        (
            "postgresql+psycopg2://me:opensesame@host/db",
            "postgresql+psycopg2://host/db needs a package that is not installed: No module named 'psycopg2'; "
            "run `pip install 'fakeprint[postgres]'`, or name another driver",
        ),
        (
            "postgresql+psycopg://me:opensesame@127.0.0.1:1/db?application_name=hushhush",
            "postgresql+psycopg://127.0.0.1:1/db cannot be used: connection failed: connection to server at "
            '"127.0.0.1", port 1 failed: Connection refused',
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line_without_secrets(here: Path, url: str, line: str) -> None:
    with pytest.raises(InputError) as raised, opened(url):
        pass
    assert str(raised.value).replace("--storage: ", "").replace("--storage ", "") == line
    os.environ.pop(storage.VARIABLE, None)


def test_no_process_is_no_number(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["fakeprint", "search", "searches/it.yaml", "--jobs", "0"])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err == "error: --jobs should be at least 1, not 0\n"
