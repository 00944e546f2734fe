import json

import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.evaluation import metrics
from fakeprint.evaluation.robustness import Robustness, Worst, load_robustness, robustness
from fakeprint.files import write_json

LABELS = np.array([0, 0, 1, 1])
RIGHT = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
HALF = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
SAID = {"clean": {"lda": RIGHT, "cnn": HALF}, "noise": {"lda": HALF, "cnn": RIGHT}, "blur": {"lda": HALF, "cnn": HALF}}


def test_each_cell_has_the_figures_of_an_evaluation():
    table = robustness(SAID, LABELS, ["real", "fake"], 10)
    assert table.cells == ["clean", "noise", "blur"]
    assert table.figures["lda"]["clean"] == pytest.approx({"accuracy": 1.0, "macro_f1": 1.0, "ece": 0.1})
    assert table.figures["lda"]["noise"] == pytest.approx({"accuracy": 0.5, "macro_f1": 1 / 3, "ece": 0.4})
    whole = metrics.figures(LABELS, HALF, ["real", "fake"], 10)
    assert table.figures["cnn"]["clean"] == {key: whole[key] for key in ("accuracy", "macro_f1", "ece")}
    assert table.accuracies().tolist() == [[1, 0.5, 0.5], [0.5, 1, 0.5]]


def test_the_worst_is_the_first_of_the_lowest_degraded_ones():
    table = robustness(SAID, LABELS, ["real", "fake"], 10)
    assert table.worst("lda") == Worst("noise", 0.5)
    assert table.worst("cnn") == Worst("blur", 0.5)
    assert table.worst("left out") is None
    assert robustness({"clean": SAID["clean"]}, LABELS, ["real", "fake"], 10).worst("lda") is None


def test_files_hold_it_for_metrics_and_plots(tmp_path):
    table = robustness(SAID, LABELS, ["real", "fake"], 10)
    content = json.loads(json.dumps(table.as_json(), allow_nan=False))
    assert content["images"] == 4
    assert content["models"]["lda"]["worst"] == {"cell": "noise", "accuracy": 0.5}
    write_json(tmp_path / "robustness.json", table.as_json())
    assert load_robustness(tmp_path / "robustness.json") == table
    frame = table.as_frame()
    assert list(frame.columns) == ["model", "cell", "accuracy", "macro_f1", "ece"]
    assert frame[["model", "cell"]].values.tolist()[:4] == [
        ["lda", "clean"],
        ["lda", "noise"],
        ["lda", "blur"],
        ["cnn", "clean"],
    ]


def test_nothing_tried_and_not_yet_run(tmp_path):
    assert Robustness({}, 0).cells == ["clean"]
    with pytest.raises(InputError, match=r"gone\.json is missing: run `dvc repro robustness` first"):
        load_robustness(tmp_path / "gone.json")
