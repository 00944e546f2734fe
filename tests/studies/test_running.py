"""Studies in a small repository, with the real git and DVC: what runs, what never runs twice, what is retried."""

import re
import shutil
import time
from pathlib import Path

import pytest

from tests.studies import repository
from tests.studies.repository import Repository

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


def waits(small: Repository) -> None:
    while not (small.notes / "waiting").exists():
        time.sleep(0.05)


def test_a_killed_study_goes_on_and_no_cell_runs_twice(small: Repository) -> None:
    small.write_study("first", arms={"nine": {"classifiers.knn.k": [9]}})
    process = small.start("run", "first")
    waits(small)  # baseline, seed 1, is done
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
