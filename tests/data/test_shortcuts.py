from collections.abc import Callable

import numpy as np
import pytest

from fakeprint.data import shortcuts
from fakeprint.data.decode import Facts
from fakeprint.data.shortcuts import Audit, audit, columns_of, container_facts

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def facts(length: int = 1000, form: str = "PNG", metadata: tuple[str, ...] = (), chroma: str = "") -> Facts:
    return Facts(form, length, 64, 64, "RGB", (0, 0), metadata, chroma)


def audited(files: list[Facts], labels: np.ndarray, groups: np.ndarray | None = None) -> Audit:
    groups = np.arange(len(files)) if groups is None else groups
    return audit(container_facts(files), labels, groups, 7, "shortcut")


@pytest.mark.slow
def test_a_planted_shortcut_is_found_and_named() -> None:
    rng = np.random.default_rng(0)
    labels = np.array(["real", "fake"] * 150, dtype=object)
    lengths = rng.integers(900, 1100, 300)
    leaky = [
        facts(int(length), metadata=("exif",) if label == "real" and place % 10 else ())
        for place, (length, label) in enumerate(zip(lengths, labels, strict=True))
    ]
    found = audited(leaky, labels)
    assert found.accuracy > 0.8
    assert next(iter(found.by_fact)) == "metadata"
    assert found.p_value == 1 / 200
    assert found.found(0.5)
    assert not found.found(0.95)
    assert not audited([facts(int(length)) for length in lengths], labels).found(0)


def test_the_columns_of_some_files_are_those_of_all() -> None:
    files = [
        facts(900 + number, metadata=("exif",) * (number % 2), form=("PNG", "BMP")[number // 5]) for number in range(10)
    ]
    of_all, rows = container_facts(files)(np.arange(10)), np.array([6, 2])
    of_some = container_facts(files)(rows)
    assert of_all["format"].shape == (10, 2)
    for name, columns in of_all.items():
        assert columns.dtype == np.float32
        assert np.array_equal(of_some[name], columns[rows])


def test_chroma_subsampling_alone_is_a_shortcut() -> None:
    labels = np.array(["real", "fake"] * 40, dtype=object)
    found = audited([facts(form="JPEG", chroma="4:4:4" if label == "real" else "4:2:0") for label in labels], labels)
    assert (found.accuracy, found.by_fact) == (1.0, {"chroma_subsampling": 1.0})
    assert found.found(0.25)


@pytest.mark.parametrize(("count", "allowed"), [(2, 0.625), (5, 0.4)])
def test_excess_is_of_the_way_from_chance_to_always_right(count: int, allowed: float) -> None:
    assert Audit(allowed, 1 / count, 0.005, {}).excess == pytest.approx(0.25)
    assert Audit(allowed + 0.01, 1 / count, 0.005, {}).found(0.25)
    assert not Audit(allowed - 0.01, 1 / count, 0.005, {}).found(0.25)
    assert not Audit(allowed + 0.01, 1 / count, 0.02, {}).found(0.25)


def test_identical_containers_give_chance() -> None:
    found = audited([facts()] * 40, np.array(["0", "1", "2", "3"] * 10, dtype=object))
    assert (found.accuracy, found.chance, found.p_value, found.by_fact) == (0.25, 0.25, 1.0, {})
    assert audited([facts(length) for length in range(900, 940)], np.array(["one"] * 40, dtype=object)).excess == 0


def balanced(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(80) % 2, np.arange(80)


def one_in_fifty(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # 1,470 and 30 images, made smaller
    return (np.arange(400) % 50 == 0).astype(int), np.arange(400)


def five_classes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(100) % 5, np.arange(100)


def five_versions_of_each_picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(100) % 5, np.arange(100) // 5


def copies(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    picture = rng.integers(0, 60, 240)
    return picture % 2, picture


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [balanced, one_in_fifty, five_classes, five_versions_of_each_picture, copies])
def test_false_alarms_are_as_rare_as_the_p_value_says(drawn: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "PERMUTATIONS", 19)
    monkeypatch.setattr(shortcuts, "ALONE", (3, 3))
    monkeypatch.setattr(shortcuts, "TOGETHER", (4, 3))
    values = []
    for number in range(40):
        rng = np.random.default_rng(number)
        labels, groups = drawn(rng)
        of_group = rng.lognormal(size=(groups.max() + 1, 2))[groups]  # near duplicates have one file length
        noise = {"file_length": of_group, "flag": rng.integers(0, 2, (len(labels), 2))}
        values.append(audit(columns_of(noise), labels.astype(str).astype(object), groups, number, "shortcut").p_value)
    # Of 40 tests with the right level, more than 10 false alarms at 0.1, or 29 at 0.5, happen once in 700.
    assert (np.array(values) <= 0.1).sum() <= 10
    assert (np.array(values) <= 0.5).sum() <= 29


@pytest.mark.slow
def test_a_shortcut_of_thirty_images_among_fifteen_hundred() -> None:
    rng = np.random.default_rng(1)
    labels = np.array(["rare"] * 30 + ["common"] * 1470, dtype=object)
    lengths = rng.integers(900, 1100, 1500)
    assert not audited([facts(int(length)) for length in lengths], labels).found(0)
    lengths[:30] += rng.integers(0, 300, 30)
    assert audited([facts(int(length)) for length in lengths], labels).found(0.25)


def test_copies_are_counted_once() -> None:
    rng = np.random.default_rng(2)
    picture = np.repeat(np.arange(20), 20)  # twenty pictures, twenty copies of each: their lengths give them away
    labels = np.array(["real", "fake"], dtype=object)[picture % 2]
    lengths = rng.integers(900, 1100, 20)[picture]
    assert audited([facts(int(length)) for length in lengths], labels).p_value == 1 / 200
    assert audited([facts(int(length)) for length in lengths], labels, picture).p_value > 0.01
