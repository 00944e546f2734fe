"""What is read from a job's log."""

from pathlib import Path

import pytest

from fakeprint.service.jobs import progress as module
from fakeprint.service.jobs.progress import Progress

LINE = (
    "{name} epoch {epoch}/3: train loss 0.6{epoch} accuracy 0.5 · validation loss 0.7 accuracy 0.{epoch} · lr 0.002 · "
    "1,234 images/s · best 0.9 in epoch 1"
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the module sees."""
    seconds = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    return seconds


def add(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_stages_epochs_and_the_time_left(tmp_path: Path, clock: list[float]) -> None:
    log = tmp_path / "log.txt"
    add(log, "Running stage 'track':", "error: of an earlier attempt")
    progress = Progress(log, 6, ["a", "b"], {})
    assert not progress.update()
    add(log, "Running stage 'check':", "> PYTHONPATH=src python -m stages.check")
    assert progress.update()
    assert progress.report == {"stages": 6, "stages_done": 0, "stage": "check"}
    clock[0] = 4
    add(log, "", "Running stage 'train@a':", "a: 48 training images, 6 for validation, on cpu")
    assert progress.update()
    assert progress.report == {"stages": 6, "stages_done": 1, "stage": "train@a"}
    clock[0] = 14
    add(log, LINE.format(name="a", epoch=1))
    progress.update()
    # 2 epochs of 10 s, 3 of the other network, and 3 stages as long as the only one that has ended
    assert progress.report["eta_seconds"] == 2 * 10 + 3 * 10 + 3 * 4
    assert (progress.report["epoch"], progress.report["epochs"]) == (1, 3)
    assert progress.report["curve"] == [
        {
            "epoch": 1,
            "train_loss": 0.61,
            "train_accuracy": 0.5,
            "validation_loss": 0.7,
            "validation_accuracy": 0.1,
            "lr": 0.002,
        }
    ]
    clock[0] = 34
    add(log, "Running stage 'predict@a':")
    progress.update()
    assert progress.report["eta_seconds"] == 30 + 2 * 4
    assert len(progress.report["curve"]) == 1
    add(log, "Running stage 'train@b':", "error: train.lr is too high")
    progress.update()
    assert "curve" not in progress.report
    assert progress.error == "train.lr is too high"


def test_an_epoch_that_was_not_validated(tmp_path: Path, clock: list[float]) -> None:
    log = tmp_path / "log.txt"
    progress = Progress(log, 6, ["a"], {})
    add(log, "Running stage 'train@a':", "a epoch 1/3: train loss 0.61 accuracy 0.5 · lr 0.002 · 1,234 images/s")
    progress.update()
    assert progress.report["curve"] == [{"epoch": 1, "train_loss": 0.61, "train_accuracy": 0.5, "lr": 0.002}]
    assert progress.report["epochs"] == 3


def test_a_later_attempt_skips_stages_and_goes_on_with_the_curve(tmp_path: Path, clock: list[float]) -> None:
    log = tmp_path / "log.txt"
    curve = [{"epoch": float(epoch)} for epoch in (1, 2, 3)]
    progress = Progress(log, 3, ["a"], {"stage": "train@a", "curve": curve})
    add(log, "Stage 'check' didn't change, skipping", "Stage 'prepare' is cached - skipping run, checking out outputs")
    progress.update()
    assert progress.report == {"stages": 3, "stages_done": 2, "stage": None}
    add(log, "Running stage 'train@a':", "a: continuing after epoch 2 of 3", LINE.format(name="a", epoch=3)[:40])
    progress.update()
    assert progress.report["curve"] == curve[:2]
    with log.open("a") as file:
        file.write("  the rest of a line that is no epoch's\n")
    add(log, LINE.format(name="a", epoch=3))
    progress.update()
    assert [row["epoch"] for row in progress.report["curve"]] == [1, 2, 3]
