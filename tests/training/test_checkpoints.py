"""Checkpoints: which run each belongs to, and that they appear whole."""

import os
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from fakeprint import params
from fakeprint.training import checkpoints
from fakeprint.training.checkpoints import Checkpoint, Saver, checkpoint, sources
from fakeprint.training.start import start
from tests.samples import DEMO
from tests.training.test_loop import CPU, data

IMAGES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)


def of(root: Path, name: str = "hist_cnn", images: np.ndarray = IMAGES, **settings: Any) -> Path:
    return checkpoint(name, {"lr": 0.1, **settings}, [images, np.array([0, 1])], root).path


def test_other_settings_data_or_network_have_other_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = IMAGES.copy()
    changed[1, 3, 3, 2] += 1
    paths = [of(tmp_path), of(tmp_path, lr=0.2), of(tmp_path, images=changed), of(tmp_path, name="three_cnn")]
    monkeypatch.setattr(torch, "__version__", "0.0")
    paths.append(of(tmp_path))
    for package in ("timm", "torchvision", "opencv-python-headless", "numpy"):
        with monkeypatch.context() as other:
            real = metadata.version
            other.setattr(metadata, "version", lambda name, of=package, real=real: "0.0" if name == of else real(name))
            paths.append(of(tmp_path))
    paths.append(of(tmp_path))
    assert len(set(paths)) == 9
    assert of(tmp_path) == paths[-1]
    assert paths[0].parent == tmp_path / ".fakeprint" / "checkpoints"


def test_a_mapped_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "images.npy"

    def mapped() -> np.ndarray:
        return np.load(file, mmap_mode="r")

    np.save(file, IMAGES)
    checkpoints._of_map.cache_clear()
    assert of(tmp_path, images=mapped()) == of(tmp_path, images=mapped()) == of(tmp_path)
    assert checkpoints._of_map.cache_info()[:2] == (1, 1)  # hits, misses
    assert of(tmp_path, images=mapped()[1:]) == of(tmp_path, images=IMAGES[1:])  # such a view has the map's offset
    np.save(file, IMAGES + 1)
    assert of(tmp_path, images=mapped()) == of(tmp_path, images=IMAGES + 1) != of(tmp_path)


@pytest.mark.slow
def test_other_code_has_another_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "fakeprint"
    for path in sources("hist_cnn"):
        target = copied / path.relative_to(checkpoints.PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    before = of(tmp_path)
    monkeypatch.setattr(checkpoints, "PACKAGE", copied)
    assert of(tmp_path) == before
    for path in sources("hist_cnn"):
        with path.open("a") as file:
            file.write("# another version\n")
        after = of(tmp_path)
        assert after != before
        before = after


@pytest.mark.slow
def test_other_weights_under_the_same_name_have_another_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    network = params.load(DEMO).network("timm")

    def name(weights: str | None, written: int = 0) -> str:
        torch.manual_seed(written)
        save_file(timm.create_model("test_efficientnet").state_dict(), file)
        options = {"architecture": "timm:test_efficientnet", "weights": weights}
        return start(network.model_copy(update={"options": options}), data(), 7, CPU, tmp_path)[1].path.name

    assert name(str(file), 1) == name(str(file), 1)
    assert len({name(str(file), 1), name(str(file), 2), name(None)}) == 3
    assert name(None, 1) == name(None, 2)


def test_what_decides_the_weights_is_among_the_sources() -> None:
    names = {path.relative_to(checkpoints.PACKAGE).as_posix() for path in sources("three_cnn")}
    assert {"training/loop.py", "augment/transforms.py", "models/networks/three_cnn.py", "seeds.py"} <= names
    assert {"models/networks/library.py", "models/pretrained.py", "augment/on_device/geometry.py"} <= names
    assert "models/networks/hist_cnn.py" not in names


def test_saves_whole_or_not_at_all(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "here" / "x.pt")
    assert kept.load() is None
    kept.save({"epoch": torch.tensor(1)})
    with pytest.raises(AttributeError):
        kept.save({"epoch": lambda: None})
    loaded = kept.load()
    assert loaded is not None and loaded["epoch"] == 1
    assert [path.name for path in kept.path.parent.iterdir()] == ["x.pt"]
    kept.remove()
    assert kept.load() is None


def test_leftovers_of_killed_processes_go_in_time(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "x.pt")
    old, fresh = tmp_path / ".y.12.partial.pt", tmp_path / ".x.34.partial.pt"
    for leftover in (old, fresh):
        leftover.write_bytes(b"half")
    os.utime(old, (0, 0))
    kept.remove()
    assert list(tmp_path.iterdir()) == [fresh]  # another process may be about to move it into place


def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Checkpoint(tmp_path / "x.pt")
    for content in (b"", b"no checkpoint"):
        kept.path.write_bytes(content)
        assert kept.load() is None
        assert "x.pt cannot be read; training starts from the first epoch" in capsys.readouterr().err


def test_loading_runs_no_code(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "x.pt")
    torch.save({"path": Path("anything")}, kept.path)  # unpickling a Path calls a function
    assert kept.load() is None


@pytest.mark.parametrize(("seconds", "saved"), [(0.0, [1, 2, 3, 4, 5]), (2.0, [1, 4, 5]), (100.0, [1, 5])])
def test_epochs_are_left_out_where_saving_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, saved: list[int]
) -> None:
    now, epochs = 1000.0, []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now)

    def state(epoch: int) -> dict[str, int]:
        nonlocal now
        now += seconds
        epochs.append(epoch)
        return {"epoch": epoch}

    saver = Saver(Checkpoint(tmp_path / "x.pt"))
    for epoch in range(1, 6):
        saver.save(lambda epoch=epoch: state(epoch), last=epoch == 5)
        now += 15
    assert epochs == saved
    assert saver.checkpoint.load() == {"epoch": 5}
