"""The matrix of detectors and generators: who is compared with whom, and the figures by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fakeprint.errors import InputError
from fakeprint.evaluation.cross_generator import Images, Pair, as_json, require_images, sources, table
from fakeprint.evaluation.cross_generator_plots import heat_picture


def images(labels: list[int], generators: list[str | None] | None = None) -> Images:
    names = generators or [None] * len(labels)
    return Images(np.array(labels), np.array(names, dtype=object))


def test_fake_classes_are_generators_where_the_source_names_none() -> None:
    found = sources(images([0, 1, 2]), [0], ["nature", "gan", "diffusion"])
    assert found.names == ["gan", "diffusion"]
    assert found.pairs() == [Pair("real", "gan"), Pair("real", "diffusion")]
    split = images([0, 0, 1, 2])
    assert found.rows("diffusion", split).tolist() == [False, False, False, True]
    assert found.anchor_rows("real", "gan", split).tolist() == [True, True, False, False]


def test_named_generators_are_compared_with_the_real_images_of_their_name() -> None:
    split = images([0, 0, 1, 1, 0], ["b", None, "a", "b", "b"])
    found = sources(split, [0], ["real", "fake"])
    assert found.names == ["a", "b"]
    assert found.rows("b", split).tolist() == [False, False, False, True, False]
    assert found.anchor_rows("real", "b", split).tolist() == [True, False, False, False, True]
    assert found.anchor_rows("real", "a", split).tolist() == [True, True, False, False, True]  # none of its name


def test_without_a_real_class_all_pairs_of_classes() -> None:
    found = sources(images([0, 1, 2]), [], ["x", "y", "z"])
    assert found.pairs() == [Pair("x", "y"), Pair("x", "z"), Pair("y", "z")]
    assert found.anchor_rows("y", "x", images([0, 1, 2])).tolist() == [False, True, False]


def test_a_class_that_is_called_real_may_be_an_anchor() -> None:
    found = sources(images([0, 1, 2]), [], ["real", "y", "z"])
    assert found.anchor_rows("real", "y", images([0, 1, 2])).tolist() == [True, False, False]


def test_figures_with_a_real_class() -> None:
    split = images([0, 0, 1, 1, 2, 2])
    found = sources(split, [0], ["real", "gan", "diffusion"])
    scores = {
        Pair("real", "gan"): np.array([-2, 1.0, 3, 2, -3, 0.5]),
        Pair("real", "diffusion"): np.array([-1, -1, -2, -2, 1, 1.0]),
    }
    rows = table("lda", scores, found, split, np.arange(6), 7, 0.95)
    assert rows[["trained_on", "tested_on"]].to_numpy().tolist() == [
        ["gan", "gan"],
        ["gan", "diffusion"],
        ["diffusion", "gan"],
        ["diffusion", "diffusion"],
    ]
    assert rows["auc"].tolist() == [1.0, 0.25, 0.0, 1.0]
    assert rows["balanced_accuracy"].tolist() == [0.75, 0.5, 0.5, 1.0]
    assert rows["recall_of_fake"].tolist() == [1.0, 0.5, 0.0, 1.0]
    assert rows["anchor_images"].tolist() == [2] * 4
    content = as_json(rows)
    assert content["own"]["auc"] == 1.0 and content["others"]["auc"] == 0.125
    assert content["anchors"]["real"]["gan"]["diffusion"]["balanced_accuracy"] == 0.5


def test_one_detector_of_two_classes_serves_both_as_anchors() -> None:
    rng = np.random.default_rng(0)
    split = images((np.arange(300) % 3).tolist())
    found = sources(split, [], ["x", "y", "z"])
    scores = {pair: rng.normal(size=300) + (split.labels == 2) for pair in found.pairs()}
    rows = table("lda", scores, found, split, np.arange(300), 7, 0.95)
    assert len(rows) == 3 * 2 * 2
    xy = scores[Pair("x", "y")]
    cell = rows[(rows["anchor"] == "y") & (rows["trained_on"] == "x") & (rows["tested_on"] == "z")].iloc[0]
    own = np.isin(split.labels, [1, 2])
    assert cell["auc"] == pytest.approx(roc_auc_score(split.labels[own] == 2, -xy[own]))
    right = [np.mean(-xy[split.labels == 1] < 0), np.mean(-xy[split.labels == 2] >= 0)]
    assert cell["balanced_accuracy"] == pytest.approx(np.mean(right))
    assert cell["auc_low"] < cell["auc"] < cell["auc_high"]
    assert cell["balanced_accuracy_low"] < cell["balanced_accuracy"] < cell["balanced_accuracy_high"]


def test_the_picture_has_a_panel_per_anchor_and_frames_the_own_generator() -> None:
    names = ["x", "y", "z"]
    cells = [(a, b, c) for a in names for b in names for c in names if a not in (b, c)]
    rows = pd.DataFrame(cells, columns=["anchor", "trained_on", "tested_on"])
    rows = rows.assign(auc=np.arange(len(rows)) / len(rows))
    figure = heat_picture(rows, "auc", "lda")
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["against x", "against y", "against z"]
    assert [text.get_text() for text in panels[0].texts] == ["0", "8", "17", "25"]
    assert [len(axes.lines) for axes in panels] == [2, 2, 2]


@pytest.mark.parametrize(
    ("real", "classes", "message"),
    [
        (
            [0],
            ["real", "gan"],
            r"cross_generator needs at least 2 generators, and the source has 1 \(gan\); set "
            "cross_generator.classifiers and cross_generator.networks",
        ),
        (
            [],
            ["x", "y"],
            r"cross_generator needs real images \(data.real_classes\) or at least 3 classes, and the source has 2 "
            r"\(x, y\); set cross_generator.classifiers and cross_generator.networks to \[\]",
        ),
    ],
)
def test_too_few_generators(real: list[int], classes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sources(images(list(range(len(classes)))), real, classes)


def test_a_split_without_images_of_a_generator() -> None:
    found = sources(images([0, 1, 2]), [0], ["real", "gan", "diffusion"])
    with pytest.raises(InputError, match="cross_generator: validation has no image of diffusion; add some, or leave"):
        require_images(found, {"validation": images([0, 1])})
    with pytest.raises(InputError, match="cross_generator: validation has no real image; add some, or set data"):
        require_images(found, {"validation": images([1, 2])})
