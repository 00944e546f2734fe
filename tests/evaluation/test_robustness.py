import json

import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.evaluation.intervals import wilson
from fakeprint.evaluation.robustness import Robustness, Worst, load_robustness, robustness
from fakeprint.evaluation.scores import scored
from fakeprint.files import write_json
from tests.samples import predictions

LABELS = np.array([0, 0, 1, 1])
RIGHT = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
HALF = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
PROBABILITIES = {
    "clean": {"lda": RIGHT, "cnn": HALF},
    "noise": {"lda": HALF, "cnn": RIGHT},
    "blur": {"lda": HALF, "cnn": HALF},
}


def of_cells(probabilities):
    def load(model, cell):
        return predictions(LABELS, probabilities[cell][model])

    return robustness(load, ["lda", "cnn"], probabilities, ["real", "fake"], 10, 0.95, 7)


def test_each_cell_has_the_figures_of_an_evaluation():
    table = of_cells(PROBABILITIES)
    assert table.cells == ["clean", "noise", "blur"]
    clean, noise = (dict(table.figures["lda"][cell]) for cell in ("clean", "noise"))
    assert clean.pop("intervals")["accuracy"] == pytest.approx(wilson(4, 4), abs=1e-6)
    assert noise.pop("intervals")["accuracy"] == pytest.approx(wilson(2, 4), abs=1e-6)
    assert clean == pytest.approx({"accuracy": 1.0, "macro_f1": 1.0, "ece": 0.1})
    assert noise == pytest.approx({"accuracy": 0.5, "macro_f1": 1 / 3, "ece": 0.4})
    whole = scored(predictions(LABELS, HALF), ["real", "fake"], 10, 0.95, 7)
    cell = table.figures["cnn"]["clean"]
    for key in ("accuracy", "macro_f1", "ece"):
        assert cell[key] == whole.figures[key]
        assert cell["intervals"][key] == list(whole.intervals[key])
    assert table.accuracies().tolist() == [[1, 0.5, 0.5], [0.5, 1, 0.5]]


def test_the_worst_is_the_first_of_the_lowest_degraded_ones():
    table = of_cells(PROBABILITIES)
    interval = pytest.approx(wilson(2, 4), abs=1e-6)
    assert table.worst("lda") == Worst("noise", 0.5, interval)
    assert table.worst("cnn") == Worst("blur", 0.5, interval)
    assert table.worst("left out") is None
    assert of_cells({"clean": PROBABILITIES["clean"]}).worst("lda") is None


def test_files_hold_it_for_metrics_and_plots(tmp_path):
    table = of_cells(PROBABILITIES)
    content = json.loads(json.dumps(table.as_json(), allow_nan=False))
    assert content["images"] == 4
    low, high = table.interval("lda", "noise")
    assert content["models"]["lda"]["worst"] == {"cell": "noise", "accuracy": 0.5, "low": low, "high": high}
    write_json(tmp_path / "robustness.json", table.as_json())
    assert load_robustness(tmp_path / "robustness.json") == table
    frame = table.as_frame()
    bounds = [f"{name}{end}" for name in ("accuracy", "macro_f1", "ece") for end in ("", "_low", "_high")]
    assert list(frame.columns) == ["model", "cell", *bounds]
    assert frame.loc[1, ["accuracy_low", "accuracy_high"]].tolist() == [low, high]
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
