"""The stage as a process: its outputs, its messages, and that it resumes after it was killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

import stages.train
from fakeprint.data.arrays import Dataset, save_dataset, save_index
from tests.samples import DEMO, index_rows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
INTERRUPTED = r"three_cnn: interrupted after \d+ of 600 epochs; the same command continues from the last checkpoint"
TINY = {"epochs": 6, "batch_size": 16, "device": "cpu", "precision": "fp32", "early_stopping": 0, "augmented": True}


def repository(folder: Path, seed: int = 0, model: dict[str, Any] | None = None, **train: Any) -> Path:
    """A folder with everything the stage reads: 64 images, 64 copies, 32 for validation, 16×16, two classes."""
    rng = np.random.default_rng(seed)
    (folder / "data" / "arrays").mkdir(parents=True)
    (folder / "data" / "augmented").mkdir()
    yaml = YAML()
    yaml.preserve_quotes = True
    content = yaml.load(DEMO.read_text(encoding="utf-8"))
    content["train"].update(TINY | train)
    content["model"]["width"] = 0.25
    content["models"]["three_cnn"]["dropout"] = 0.3
    content["models"]["three_cnn"].update(model or {})
    content["tracking"]["enabled"] = False
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    arrays = folder / "data" / "arrays"
    save_dataset(Dataset(["a", "b"], ["a", "b"], 16, "squash", 10**6), arrays)
    for split, count in {"train": 64, "validation": 32}.items():
        np.save(arrays / f"{split}.npy", rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))
        save_index(split, index_rows(np.arange(count) % 2, ["a", "b"], split), ["a", "b"], arrays)
    copies = folder / "data" / "augmented"
    np.save(copies / "copies.npy", np.load(arrays / "train.npy")[:, ::-1])
    pd.DataFrame({"class": np.arange(64) % 2}).to_parquet(copies / "copies.parquet")
    return folder


@pytest.fixture(scope="module")
def python(preloaded: str) -> str:
    """For the stage in a fork of a process that has loaded torch: of all signals, SIGKILL alone reaches it."""
    return f"{preloaded.partition(':')[0]}/python"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}


def train(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    words = [python, "-m", "stages.train", "three_cnn"]
    return subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def until_epoch_2(folder: Path, python: str, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Start the stage and send it a signal when its second epoch is printed."""
    process = subprocess.Popen(
        [python, "-m", "stages.train", "three_cnn"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them ignore Ctrl-C, and so would the stage.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "epoch 2/" in line:
            time.sleep(0.01)
            process.send_signal(number)
            break
    rest, errors = process.communicate(timeout=300)  # a guard against a hang, long enough for a busy machine
    return subprocess.CompletedProcess(process.args, process.returncode, "".join(lines) + rest, errors)


def outputs(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "models").rglob("*"), *(folder / "metrics").rglob("*")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.is_file()}


def checkpoints(folder: Path) -> list[Path]:
    return list((folder / ".fakeprint" / "checkpoints").glob("three_cnn-*.pt"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, python: str) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = repository(tmp_path_factory.mktemp("unbroken") / "a folder", epochs=60)
    return folder, train(folder, python)


def test_outputs_and_messages(unbroken: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = unbroken
    assert done.returncode == 0, done.stderr
    written = outputs(folder)
    names = ["history.csv", "model.json", "weights.safetensors"]
    assert sorted(path.split("/")[-1] for path in written) == names
    history = pd.read_csv(folder / "metrics" / "three_cnn" / "history.csv")
    assert list(history) == ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr"]
    assert history["epoch"].tolist() == list(range(1, 61))
    assert "three_cnn pins model.dropout = 0.3; the shared `model.dropout` does not change it" in done.stdout
    assert "three_cnn: 128 training images, 32 for validation, on cpu, fp32" in done.stdout
    assert done.stdout.count("images/s") == 60 and "three_cnn:" not in done.stderr  # a bar needs a terminal
    assert checkpoints(folder) == []


def test_an_epoch_that_was_not_validated_has_no_figures(tmp_path: Path, python: str) -> None:
    folder = repository(tmp_path, epochs=3, keep="last", validate_every=2)
    assert train(folder, python).returncode == 0
    first, second, third = (folder / "metrics/three_cnn/history.csv").read_text().splitlines()[1:]
    assert first.split(",")[3:5] == ["nan", "nan"] and "nan" not in second + third


def test_killed_it_resumes_and_ends_the_same(
    tmp_path: Path, python: str, unbroken: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder = repository(tmp_path / "killed", epochs=60)
    killed = until_epoch_2(folder, python, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert outputs(folder) == {}
    assert len(checkpoints(folder)) == 1

    # Other data neither resume from it nor remove it.
    other = shutil.copytree(folder, tmp_path / "other")
    images = np.load(other / "data" / "arrays" / "train.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(other / "data" / "arrays" / "train.npy", images)
    assert "continuing" not in until_epoch_2(other, python, signal.SIGKILL).stdout
    assert len(checkpoints(other)) == 2

    done = train(folder, python)
    assert "three_cnn: continuing after epoch" in done.stdout
    assert "epoch 1/60" not in done.stdout
    assert outputs(folder) == outputs(unbroken[0])
    assert checkpoints(folder) == []


def test_interrupted_in_an_experiments_copy(tmp_path: Path) -> None:
    main = repository(tmp_path / "main", epochs=600)
    copy = main / ".dvc" / "tmp" / "exps" / "tmpcopy"
    shutil.copytree(main, copy, ignore=shutil.ignore_patterns(".dvc"))
    stopped = until_epoch_2(copy, sys.executable, signal.SIGINT)
    assert stopped.returncode == 130
    assert re.fullmatch(INTERRUPTED, stopped.stderr.strip().splitlines()[-1])
    assert "Traceback" not in stopped.stderr
    assert len(checkpoints(main)) == 1 and not (copy / ".fakeprint").exists()


def test_two_processes_are_interrupted_as_one(tmp_path: Path) -> None:
    folder = repository(tmp_path, epochs=600, devices=2)
    stopped = until_epoch_2(folder, sys.executable, signal.SIGINT)
    assert stopped.returncode == 130
    assert re.fullmatch(INTERRUPTED, stopped.stderr.strip())
    assert len(checkpoints(folder)) == 1


def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository(tmp_path / "bad", batch_size=129))
    assert failed("three_cnn") == 1
    line = "error: train.batch_size: 129 is more than the 128 training images\n"
    assert capsys.readouterr().err == line
    monkeypatch.chdir(repository(tmp_path / "odd", batch_size=15, devices=2))
    assert failed("three_cnn") == 1
    assert capsys.readouterr().err == "error: train.batch_size, 15, should be a multiple of train.devices, 2\n"
    assert outputs(tmp_path / "bad") == {}


def failed(name: str) -> object:
    """The exit code of the stage, run in this process."""
    with pytest.raises(SystemExit) as raised:
        stages.train.main(name)
    return raised.value.code


def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {"epochs": 2, "optimiser": "sgd", "lr": 0.05, "clip": 0.5, "ema": 0.5, "accumulate": 2}
    one, two = (
        repository(tmp_path / name, **shared, devices=devices, model={"norm": "none", "dropout": 0.0})
        for name, devices in (("one", 1), ("two", 2))
    )
    monkeypatch.chdir(one)
    stages.train.main("three_cnn")
    done = train(two, sys.executable)
    assert done.returncode == 0, done.stderr
    assert "three_cnn: 128 training images, 32 for validation, on cpu, fp32, 2 processes" in done.stdout
    assert done.stdout.count("three_cnn epoch 2/2") == 1
    expected, got = (load_file(folder / "models/three_cnn/weights.safetensors") for folder in (one, two))
    for key, tensor in expected.items():
        torch.testing.assert_close(got[key], tensor, rtol=1e-4, atol=1e-6)
    histories = [pd.read_csv(folder / "metrics/three_cnn/history.csv") for folder in (one, two)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    assert checkpoints(two) == []
