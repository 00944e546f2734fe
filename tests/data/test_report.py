"""The pictures of `validate`: no text on another."""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fakeprint.data import report
from fakeprint.data.shortcuts import Audit

NAMES = ["block_latent", "fir_upsampling", "nearest_conv", "subpixel_shuffle", "transposed_conv"]
FACTS = {"block_grid": 0.366, "compression": 0.301, "interpolation": 0.278}


def found() -> Any:
    rows: list[tuple[str, str | None]] = [
        (split, label) for split, count in (("train", 200), ("validation", 50)) for label in NAMES * count
    ]
    rows += [("test", None)] * 250
    manifest = pd.DataFrame(rows, columns=["split", "label"]).assign(width=64, height=64, bytes=12_418)
    shortcut, trace = Audit(0.2, 0.2, 1.0, {}), Audit(0.439, 0.2, 0.005, FACTS)
    return SimpleNamespace(manifest=manifest, classes=NAMES, shortcut=shortcut, trace=trace)


def drawn(name: str) -> Figure:
    what = found()
    if name == "class_counts":
        return report.class_counts(what.manifest, NAMES, NAMES)
    if name == "sizes":
        return report.sizes(what, NAMES)
    return report.audits(what, 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["class_counts", "sizes", "audits"])
def test_no_text_lies_on_another_or_on_a_neighbouring_panel(name: str) -> None:
    figure = drawn(name)
    FigureCanvasAgg(figure).draw()
    panels = [(axes, axes.get_window_extent()) for axes in figure.axes]
    labels = [(axes, each) for axes, _ in panels for each in (axes.xaxis.label, axes.yaxis.label)]
    labels += [(axes, each) for axes, _ in panels for each in axes.get_yticklabels()]
    boxes = [(axes, each.get_window_extent()) for axes, each in labels if each.get_text()]
    legends = [*figure.legends, *(legend for axes, _ in panels if (legend := axes.get_legend()))]
    for axes, box in boxes:
        assert not any(box.overlaps(legend.get_window_extent()) for legend in legends)
        assert not any(box.overlaps(panel) for other, panel in panels if other is not axes)


def test_the_highest_accuracy_has_a_bar_where_it_is_that_of_all_facts_together() -> None:
    left, right = drawn("audits").axes
    assert [bar.get_bbox().width for bar in right.containers[0]] == pytest.approx([0.439, *FACTS.values()])
    assert right.get_yticklabels()[0].get_text() == "all facts  0.439"
    assert not left.patches
    one = found()
    one.trace = Audit(0.366, 0.2, 0.005, FACTS)
    assert len(report.audits(one, 0.25).axes[1].patches) == 3
    assert np.allclose(right.get_xlim(), (0, 1))


def test_samples_stand_in_rows_beside_their_class() -> None:
    tall, wide = np.zeros((40, 20, 3), np.uint8), np.zeros((20, 40, 3), np.uint8)
    figure = report.samples([[tall, wide], [wide], []], ["one", "a_long_class_name_of_a_generator", "empty"])
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    boxes = [artist.get_window_extent() for artist in (*axes.images, *axes.texts)]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    upright, lying, below = boxes[:3]
    assert (upright.height / upright.width, lying.height / lying.width) == pytest.approx((2, 0.5))
    assert below.x0 < lying.x0
    for row, name in ((upright, boxes[3]), (below, boxes[4])):
        assert name.x1 < row.x0
        assert (name.y0 + name.y1) / 2 == pytest.approx((row.y0 + row.y1) / 2, abs=4)
