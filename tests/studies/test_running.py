"""Studies in a small repository, with the real git and DVC: what runs, what never runs twice, what is retried."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.studies import repository
from tests.studies.repository import HIDDEN, NOT_NEEDED, Repository

pytestmark = pytest.mark.slow
ONE = {"one": {"classifiers.knn.k": [1]}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return repository.make(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def small(made: Repository, tmp_path: Path) -> Repository:
    shutil.copytree(made.root, tmp_path / "repository", symlinks=True)
    (tmp_path / "notes").mkdir()
    return Repository(tmp_path / "repository", tmp_path / "notes")


def waits(small: Repository, process: "subprocess.Popen[str]") -> None:
    """Until a cell with k = 9 waits."""
    while not (small.notes / "waiting").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def test_a_killed_study_goes_on_and_no_cell_runs_twice(small: Repository) -> None:
    small.write_study("first", arms={"nine": {"classifiers.knn.k": [9]}})
    process = small.start("run", "first")
    waits(small, process)  # baseline, seed 1, is done
    assert small.study("run", "first", status=1).startswith("error: another process is running the study first")
    assert "4 cells, 1 done, 1 running, 2 not started, 0 failed" in small.study("status", "first")
    process.kill()
    process.communicate()
    (small.notes / "free").touch()
    printed = small.study("run", "first")
    assert printed.splitlines()[0] == "first: 4 cells, 1 done"
    assert printed.splitlines()[-1] == "first: 4 cells, 4 done, 0 running, 0 not started, 0 failed"
    assert small.fits == ["3 1", "9 1", "9 1", "3 2", "9 2"]  # seed by seed; what was killed begins again
    assert small.run("git", "status", "--porcelain").split() == ["??", "studies/"]  # the workspace is as it was
    shown = small.run("python", "-m", "dvc", "exp", "show", "--csv")
    assert all(name in shown for name in small.experiments)
    assert len(small.experiments) == 4

    small.write_study("second", arms={"again": {"classifiers.knn.k": [9]}, **ONE}, seeds=[1])
    printed = small.study("run", "second")
    assert printed.splitlines()[0] == "second: 3 cells, 2 done"
    assert small.fits[5:] == ["1 1"]

    (small.root / "src/fakeprint/note.md").write_text("other words\n")
    assert "note.md differs from HEAD" in small.study("run", "second", status=1)
    small.run("git", "commit", "-qam", "words")
    assert "second: 3 cells, 3 done" in small.study("run", "second")  # of another commit, whose code is the same

    assert small.study("rm", "second").startswith("second: 1 experiments removed; 2 stay, because first uses them too")
    assert [name.split("-")[0] for name in small.experiments] == ["first"] * 4
    assert small.study("rm", "first").startswith("first: 4 experiments removed")
    assert small.experiments == []
    assert not list((small.root / ".fakeprint/studies").glob("repository-*"))


def test_what_the_machine_ended_is_tried_again_and_own_faults_are_not(small: Repository) -> None:
    arms = {"killed": {"classifiers.knn.k": [11]}, "wrong": {"classifiers.knn.k": [13]}}
    small.write_study("faults", arms=arms, seeds=[1])
    printed = small.study("run", "faults", "--jobs", "2", status=1)
    assert re.search(r"killed, seed 1: failed: (Killed|.*exited with -9)", printed)
    assert "attempt 2 of 3 follows" in printed
    assert "wrong, seed 1: failed: knn: k is unlucky; choose another one" in printed
    assert printed.splitlines()[-2:] == [
        "faults: 3 cells, 2 done, 0 running, 0 not started, 1 failed",
        "  1 failed: knn: k is unlucky; choose another one",
    ]
    assert sorted(small.fits).count("13 1") == 1
    before = small.fits
    assert small.study("run", "faults", status=1).startswith("faults: 3 cells, 2 done, 1 failed before (--again")
    assert small.fits == before
    small.study("run", "faults", "--again", "--hours", "1", status=1)
    assert small.fits == [*before, "13 1"]


def test_the_queue_gives_the_same_experiments(small: Repository) -> None:
    small.write_study("queued", arms=ONE, seeds=[1])
    printed = small.study("run", "queued", "--runner", "queue", "--jobs", "2")
    assert "queued: 2 cells, 2 done" in printed
    assert sorted(small.fits) == ["1 1", "3 1"]
    assert len(small.experiments) == 2


def test_direct_results_are_those_of_dvc_and_are_taken_in(small: Repository, tmp_path: Path) -> None:
    small.write_study("both", arms=ONE, seeds=[1])
    out = tmp_path / "out"
    printed = small.study("run", "both", "--runner", "direct", "--out", str(out))
    assert "one, seed 1: accuracy knn 0.0500" in printed
    assert small.study("run", "both", "--runner", "direct", "--out", str(out)).startswith("both: 2 cells, 2 done")
    assert len(small.fits) == 2
    by_dvc = small.study("run", "both")
    assert "one, seed 1: accuracy knn 0.0500" in by_dvc
    small.study("rm", "both")
    assert "0 done" in small.study("status", "both")
    assert "2 results taken in" in small.study("take", str(out))
    assert "2 cells, 2 done" in small.study("status", "both")
    assert "0 results taken in, 2 were here already" in small.study("take", str(out))
    damaged = next((out / "results").iterdir())
    shutil.rmtree(small.root / ".fakeprint/studies/taken")
    params = damaged / "params.yaml"
    params.write_text(params.read_text().replace('"seed": 1', '"seed": 5'))
    assert "its parameters are not those of the cell" in small.study("take", str(out), status=1)
    assert not (small.root / ".fakeprint/studies/taken").exists()
    assert "there are no results" in small.study("take", str(tmp_path / "nowhere"), status=1)
    (small.root / "src/fakeprint/note.md").write_text("other words\n")
    printed = small.study("run", "both", "--runner", "direct", "--out", str(out), status=1)
    assert "note.md differs from HEAD" in printed  # its results would count as those of HEAD


def test_a_machine_without_dvc_git_and_mlflow_runs_cells(small: Repository, tmp_path: Path) -> None:
    small.write_study("away", arms=ONE, seeds=[1])
    for name in (".git", ".dvc"):
        shutil.rmtree(small.root / name)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/sitecustomize.py").write_text(HIDDEN)
    without = {
        "PATH": "",
        "PYTHONPATH": f"{tmp_path / 'hidden'}:{small.variables['PYTHONPATH']}",
        "FAKEPRINT_HIDDEN": " ".join(NOT_NEEDED),
        "FAKEPRINT_HIDDEN_FROM": str(tmp_path / "hidden/processes"),
    }
    direct = ("run", "away", "--runner", "direct", "--out", str(tmp_path / "out"))
    printed = small.study(*direct, "-S", "classifiers.knn.k=[2]", **without)
    out = tmp_path / "out"
    assert printed.splitlines()[-2:] == [
        "away: 2 cells, 2 done, 0 running, 0 not started, 0 failed",
        f"the results are in {out}; `fakeprint study take {out}` in your repository takes them in",
    ]
    assert small.fits == ["2 1", "1 1"]
    assert "study run away" in (tmp_path / "hidden/processes").read_text()
    printed = small.study(*direct, "-S", "data.class_names={a: b}", status=1, **without)
    assert printed == (
        "error: -S data.class_names={a: b}: without hydra-core only KEY=VALUE with a number, a word, a path or a list "
        "of these can be read; install hydra-core, or write the value into a preset\n"
    )
    assert small.study("run", "away", status=1, **without) == (
        "error: git is not installed; studies need it, except with --runner direct\n"
    )


def test_a_greedy_path_goes_on_from_the_best_arm(small: Repository, tmp_path: Path) -> None:
    arms = {"five": {"classifiers.knn.k": [5]}, "l1": {"classifiers.knn.metrics": ["l1"]}}
    small.write_study("greedy", arms=arms, path=list(arms), path_order="greedy", seeds=[1])
    printed = small.study("run", "greedy", "--runner", "direct", "--out", str(tmp_path / "out"))
    began = [line.split(", seed")[0].split("] ")[1] for line in printed.splitlines() if line.startswith("[")]
    assert began == ["baseline", "five", "l1", "l1 + five"]  # 4, 6 and 8 of 40 images are right, then 10
    assert "[4/4] l1 + five, seed 1: accuracy knn 0.2500" in printed
    small.study("take", str(tmp_path / "out"))
    assert re.search(r"l1 \+ five +1 +25.00 %", small.study("show", "greedy", COLUMNS="80"))


def worker_of(small: Repository) -> psutil.Process:
    """The one process of a worker of DVC's queue in this repository's clone."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "queue-worker" in (process.info["cmdline"] or []):
            try:
                if Path(process.cwd()).is_relative_to(small.root):
                    found.append(process)
            except psutil.Error:
                continue
    (worker,) = found
    return worker


def test_a_dead_worker_is_replaced_and_rm_leaves_foreign_entries_of_the_queue(
    small: Repository, tmp_path: Path
) -> None:
    small.write_study("other", arms=ONE, seeds=[1])  # a study that stays, and with it the clones
    small.study("run", "other", "--runner", "direct", "--out", str(tmp_path / "out"))
    small.write_study("queued", arms={"nine": {"classifiers.knn.k": [9]}}, seeds=[1])
    process = small.start("run", "queued", "--runner", "queue")
    assert process.stdout
    waits(small, process)
    worker_of(small).kill()
    line = next(line for line in process.stdout if "nine" in line)
    assert "nine, seed 1: failed: its worker died; attempt 2 of 3 follows" in line
    while small.fits.count("9 1") < 2:  # it is tried again
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.kill()
    worker_of(small).kill()
    process.communicate()

    clone = small.root / ".fakeprint/studies/repository-1"

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        done = subprocess.run(command, cwd=clone, env=small.variables, capture_output=True, text=True, check=True)
        return done.stdout

    dvc("exp", "run", "--queue", "--name", "foreign", "-S", "seed=99")
    assert "nine" in dvc("queue", "status")
    small.study("rm", "queued")
    tasks = [line.split()[1:] for line in dvc("queue", "status").splitlines() if re.match("[0-9a-f]{7} ", line)]
    (small.notes / "free").touch()  # ends the stages of the killed cells
    assert [(words[0], words[-1]) for words in tasks] == [("foreign", "Queued")]
