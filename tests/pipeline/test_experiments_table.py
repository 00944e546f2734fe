"""`make experiments`: which columns of `dvc exp show` its pattern drops. DVC matches it at the start of each name.

DVC names a metric by its path in the file, after the file's own name where several files have that path.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATTERN = re.search(r"^OTHER_COLUMNS = (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def dropped(column: str) -> bool:
    assert PATTERN is not None
    return re.match(PATTERN[1].replace("$$", "$"), column) is not None


def paths(content: Any, before: str = "") -> Iterator[str]:
    """The columns that DVC makes of a JSON file: the paths to its numbers and texts."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from paths(value, f"{before}.{key}" if before else key)
    else:
        yield before


def columns(file: str) -> list[str]:
    return list(paths(json.loads((ROOT / "metrics" / file).read_text(encoding="utf-8"))))


@pytest.mark.parametrize("prefix", ["", "metrics/leaderboard.json:"])
def test_of_the_leaderboard_accuracy_and_the_worst_stay(prefix: str) -> None:
    kept = [column for column in columns("leaderboard.json") if not dropped(prefix + column)]
    models = json.loads((ROOT / "metrics/leaderboard.json").read_text(encoding="utf-8"))["models"]
    wanted = {f"models.{name}.accuracy" for name in models} | {f"models.{name}.worst.accuracy" for name in models}
    assert wanted <= set(kept)
    assert {column for column in kept if column.startswith("models.")} == wanted


@pytest.mark.parametrize("file", ["robustness.json", "calibration.json", "lda/evaluate.json"])
@pytest.mark.parametrize("named", [False, True])
def test_other_metrics_go(file: str, named: bool) -> None:
    shared = set() if named else set(columns("leaderboard.json"))  # DVC puts the file's name before these
    found = [column for column in columns(file) if column not in shared]
    assert len(found) > 5
    assert [column for column in found if not dropped(f"metrics/{file}:{column}" if named else column)] == []


@pytest.mark.parametrize(
    "column", ["Experiment", "champion", "seed", "model.dropout", "models.hist_cnn.bins", "train.lr"]
)
def test_parameters_stay(column: str) -> None:
    assert not dropped(column)
