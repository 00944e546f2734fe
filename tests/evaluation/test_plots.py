import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from fakeprint.evaluation import leaderboard, metrics, plots
from fakeprint.evaluation.robustness import Robustness, robustness
from fakeprint.files import write_figure
from tests.samples import predictions


def cell_texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_confusion_cells_read_row_by_row_actual_by_predicted():
    counts = np.array([[3, 1], [0, 0]])
    figure = plots.confusion_picture(counts, ["real", "fake"], "t", normalised=False)
    assert cell_texts(figure) == ["3", "1", "0", "0"]
    assert figure.axes[0].get_ylabel() == "actual class"
    assert figure.axes[0].get_xlabel() == "predicted class"
    normalised = plots.confusion_picture(counts, ["real", "fake"], "t", normalised=True)
    assert cell_texts(normalised) == ["75.0", "25.0", "–", "–"]


def test_mistakes_come_surest_first():
    actual = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.4, 0.6], [0.9, 0.1], [0.95, 0.05], [0.6, 0.4]])
    rows = [mistake.row for mistake in plots.most_confident_mistakes(actual, probabilities, 2)]
    assert rows == [2, 0]
    first = plots.most_confident_mistakes(actual, probabilities, 1)[0]
    assert (first.actual, first.predicted, first.confidence) == (1, 0, 0.95)
    assert plots.most_confident_mistakes(actual, probabilities, 0) == []


def test_the_heat_map_is_sorted_by_clean_accuracy_and_name_and_marks_the_worst():
    row = {"poor": (0.5, 0.25, 0.4), "good": (0.9, 0.8, 0.6)}
    figures = {
        model: {cell: {"accuracy": share} for cell, share in zip(("clean", "jpeg", "blur"), shares, strict=True)}
        for model, shares in row.items()
    }
    figure = plots.robustness_picture(Robustness(figures, 10), "t")
    assert cell_texts(figure) == ["90.0", "60.0", "80.0", "50.0", "40.0", "25.0"]
    assert [text.get_text() for text in figure.axes[0].texts if text.get_fontweight() == "bold"] == ["60.0", "25.0"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["good", "poor"]


def whiskers(axes):
    """Ends of every horizontal line of two points."""
    return [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]


def test_whiskers_are_the_intervals():
    labels = np.array([0, 1] * 10)
    right, poor = np.eye(2)[labels], np.eye(2)[np.where(np.arange(20) < 6, 1 - labels, labels)]
    models = {"right": predictions(labels, right), "poor": predictions(labels, poor)}
    table = robustness(lambda name, cell: models[name], models, ["clean", "blur"], ["real", "fake"], 9, 0.95, 7)
    board = leaderboard.compare(models, ["real", "fake"], 0.95, table, test=models)
    best, second = board.standings
    (leading,) = plots.leaderboard_picture(board, "t").axes
    of_accuracy = [row.scores.intervals["accuracy"] for row in (best, second)]
    assert whiskers(leading) == [pair for pair in of_accuracy for _ in ("degraded", "validation", "test")]
    real, fake = plots.recall_picture(board, "t").axes
    assert [whiskers(real), whiskers(fake)] == [
        [row.recall_intervals[index] for row in board.standings] for index in (0, 1)
    ]
    low, high = table.interval("poor", "blur")
    assert cell_texts(plots.robustness_picture(table, "t"))[-2:] == ["70.0", f"{100 * low:.0f}–{100 * high:.0f}"]


@pytest.mark.parametrize("classes", [2, 8])
@pytest.mark.slow
def test_every_picture_is_drawn_and_with_two_classes_the_same_twice(tmp_path, classes):
    rng = np.random.default_rng(classes)
    names = [f"generator {index}" for index in range(classes)]
    labels = rng.integers(0, classes - 1, 60)  # the last class has no images
    models = {name: predictions(labels, rng.dirichlet(np.ones(classes), 60)) for name in ("lda", "knn")}
    cells = ("clean", "jpeg_50", "blur_1")
    table = robustness(lambda name, cell: models[name], models, cells, names, 9, 0.95, 7)
    board = leaderboard.compare(models, names, 0.95, table, test=models if classes == 8 else None)
    best = models[board.champion.name]
    counts = metrics.confusion(labels, best.predicted, classes)
    bins = metrics.reliability(labels, best.probabilities, 15)
    mistakes = plots.most_confident_mistakes(labels, best.probabilities, 7)
    images = rng.integers(0, 255, (60, 16, 16, 3), dtype=np.uint8)

    def draw(folder):
        folder.mkdir()
        figures = {
            "confusion": plots.confusion_picture(counts, names, "t", True),
            "reliability": plots.reliability_picture(bins, 0.1, "t", (0.05, 0.2)),
            "mistakes": plots.mistakes_picture(mistakes, images, best.image_ids, names, "t"),
            "none": plots.mistakes_picture([], images, best.image_ids, names, "t"),
            "leaderboard": plots.leaderboard_picture(board, "t"),
            "recall": plots.recall_picture(board, "t"),
            "heat": plots.robustness_picture(table, "t"),
            "heat_of_clean": plots.robustness_picture(Robustness({"lda": {"clean": {"accuracy": 1.0}}}, 60), "t"),
            "summary": plots.summary_picture(board, counts, "t"),
        }
        for name, figure in figures.items():
            write_figure(folder / f"{name}.png", figure)
        return sorted(folder.iterdir())

    drawn = draw(tmp_path / "one")
    for path in drawn:
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            assert "Software" not in picture.info
    if classes == 2:
        for one, two in zip(drawn, draw(tmp_path / "two"), strict=True):
            assert one.read_bytes() == two.read_bytes()


def test_mistakes_do_not_lie_on_each_other_and_are_inside_the_picture():
    names = [f"a_long_class_name_of_a_generator_{number}" for number in range(4)]
    mistakes = [plots.Mistake(row, row % 4, (row + 1) % 4, 0.9) for row in range(7)]
    images, ids = np.zeros((7, 16, 16, 3), np.uint8), np.array([f"an_image_with_a_long_name_{row}" for row in range(7)])
    figure = plots.mistakes_picture(mistakes, images, ids, names, "Most confident mistakes\nknn on the demo")
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts[:2]] == [
        "actual: a_long_class_name_…\npredicted: a_long_class_name_…",
        "confidence 90 %, an_image_with_a_lo…",
    ]
    boxes = [artist.get_window_extent() for artist in (*axes.images, *axes.texts)]
    assert len(boxes) == 7 + 2 * 7 + 1
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    whole = figure.bbox
    assert all(whole.contains(*corner) for box in boxes for corner in box.corners())
