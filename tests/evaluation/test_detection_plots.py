import numpy as np
import pytest
from PIL import Image

from fakeprint.evaluation import detection, detection_plots
from fakeprint.files import write_figure
from tests.evaluation.test_detection import drawn, images


def pictures(detector):
    figures, curves = detection.figures(detector, None), detection.curves(detector, "all images")
    return {
        "roc": detection_plots.roc_picture(curves, figures, "t"),
        "det": detection_plots.det_picture(curves, figures, "t"),
    }


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def with_generators(count):
    names = [None] * 300 + [f"generator {number % count}" for number in range(200)]
    return drawn(300, 200, 1.5, np.random.default_rng(0), generators=names)


def test_a_curve_of_each_generator_up_to_ten():
    three = pictures(with_generators(3))
    expected = ["all images (200 fake, 300 real)", *(f"generator {n} ({67 - n // 2} fake, 300 real)" for n in range(3))]
    assert labels(three["roc"]) == [*expected, "chance", "less than one real image"]
    assert labels(three["det"]) == [*expected, "equal errors"]
    assert len(labels(pictures(with_generators(10))["det"])) == 12
    assert len(labels(pictures(with_generators(11))["det"])) == 2
    assert len(labels(pictures(with_generators(1))["det"])) == 2


def test_the_points_are_the_figures():
    detector = with_generators(2)
    figures, drawn_pictures = detection.figures(detector, None), pictures(detector)
    marked = [line.get_xydata()[0] for line in drawn_pictures["roc"].axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(marked, [[rate, figures[key]] for key, rate in detection.RATES.items()])
    (eer,) = [line.get_xydata()[0] for line in drawn_pictures["det"].axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(eer, detection_plots.deviate(np.array([figures["eer"]] * 2)))


@pytest.mark.slow
def test_pictures_are_drawn_and_the_same_twice(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for kind, figure in pictures(with_generators(3)).items():
            write_figure(tmp_path / name / f"{kind}.png", figure)
    for kind in ("roc", "det"):
        assert (tmp_path / "one" / f"{kind}.png").read_bytes() == (tmp_path / "two" / f"{kind}.png").read_bytes()
        with Image.open(tmp_path / "one" / f"{kind}.png") as picture:
            assert min(picture.size) > 500


@pytest.mark.slow
@pytest.mark.parametrize("scores", [[0.1, 0.2, 0.8, 0.9], [0.5] * 4], ids=["perfect", "constant"])
def test_pictures_of_a_perfect_and_of_a_blind_detector(tmp_path, scores):
    for kind, figure in pictures(images([0, 0, 1, 1], scores)).items():
        write_figure(tmp_path / f"{kind}.png", figure)
        assert (tmp_path / f"{kind}.png").stat().st_size > 10_000
