from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.study_statistics import WORLDS, coverage, false_claims
from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.presets import DEMO
from fakeprint.studies.arms import lower_is_better
from fakeprint.studies.outcome import _held_out
from fakeprint.studies.statistics import Statistics, _defined, analyse
from fakeprint.studies.study import BASELINE
from tests.studies.made_up import study

MODEL = "small_cnn"


def verdict(results, arm, model=MODEL):
    return analyse(results).comparisons[arm, model, results.study.metrics[0]]


def test_means_and_differences_are_those_of_the_cells():
    results = study({"more": 0.2, "less": -0.2})
    found = analyse(results)
    for figure in ("accuracy", "macro_f1", "log_loss", "ece"):
        values = {
            arm: [cell.figures[MODEL][figure] for cell in results.of_arm(arm).values()] for arm in (BASELINE, "less")
        }
        summary = found.summaries["less", MODEL, figure]
        assert summary.mean == pytest.approx(np.mean(values["less"]))
        assert summary.deviation == pytest.approx(np.std(values["less"], ddof=1))
        comparison = found.comparisons["less", MODEL, figure]
        differences = np.subtract(values["less"], values[BASELINE])
        assert list(comparison.differences.values()) == pytest.approx(differences)
        assert comparison.interval[0] < comparison.difference < comparison.interval[1] and comparison.over_images


@pytest.mark.slow
def test_better_and_worse_follow_the_direction_of_the_figure():
    """More accuracy is better, more log loss is worse."""
    effects = {"up": 0.6, "down": -0.6}
    by_accuracy = analyse(study(effects, replicates=range(9)))
    by_loss = analyse(study(effects, replicates=range(9), metrics=["log_loss", "accuracy"]))
    for found, figure in ((by_accuracy, "accuracy"), (by_loss, "log_loss")):
        words = {comparison.arm: comparison.word for comparison in found.verdicts(figure)}
        assert words == {"up": "better", "down": "worse"}
        assert all(comparison.p < 0.05 for comparison in found.verdicts(figure))
    assert by_loss.comparisons["up", MODEL, "log_loss"].difference < 0


@pytest.mark.parametrize("figure", ["log_loss", "ece", "test.log_loss", "detection.eer"])
def test_less_of_an_error_is_better(figure):
    assert lower_is_better(figure)


@pytest.mark.parametrize("figure", ["accuracy", "macro_f1", "roc_auc", "detection.auc", "recall.dalle"])
def test_more_of_everything_else_is_better(figure):
    assert not lower_is_better(figure)


@pytest.mark.slow
def test_the_p_value_is_the_larger_one_corrected_by_holm():
    results = study({"up": 0.6, "same": 0.0, "down": -0.5}, replicates=range(8))
    found = analyse(results)
    raw, adjusted = [], []
    for comparison in found.verdicts("accuracy"):
        assert comparison.p_seeds == pytest.approx(
            stats.wilcoxon(
                np.round(list(comparison.differences.values()), 12),
                method=stats.PermutationMethod(n_resamples=np.inf),
            ).pvalue
        )
        raw.append(max(comparison.p_seeds, comparison.p_both))
        adjusted.append(comparison.p)
    order = np.argsort(raw)
    expected = np.maximum.accumulate(np.array(raw)[order] * [3, 2, 1]).clip(max=1)
    assert np.array(adjusted)[order] == pytest.approx(expected)
    assert found.comparison_count == 3


def test_too_few_seeds_are_reported_with_the_number_needed():
    found = verdict(study({"up": 0.6, "same": 0.0, "down": -0.5}), "up")
    assert found.word == "too few seeds to tell" and found.p is None
    assert found.why == "exact Wilcoxon with 5 seeds reaches 0.0625 at best, 3 comparisons need 7 seeds"
    one = verdict(study({"up": 0.6}, replicates=[4]), "up")
    assert one.why == "exact Wilcoxon with 1 seed reaches 1 at best, 1 comparison needs 6 seeds"
    assert one.interval is None and one.p_seeds is None


@pytest.mark.slow
def test_models_count_as_comparisons_too():
    results = study({"up": 0.6}, replicates=range(6), models=["small_cnn", "large_cnn"])
    assert "2 comparisons need 7 seeds" in verdict(results, "up").why
    assert verdict(study({"up": 0.6}, replicates=range(6)), "up").word == "better"


def test_students_t_needs_fewer_seeds():
    found = verdict(study({"up": 0.6, "same": 0.0}, replicates=range(4), test="t"), "up")
    differences = list(found.differences.values())
    assert found.word == "better" and found.p_seeds == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert verdict(study({"up": 0.6}, replicates=[0], test="t"), "up").why == "a t test needs 2 seeds"


def test_words_name_folds_where_there_are_folds():
    one = verdict(study({"up": 0.6}, replicates=[4], folds=[4], held_out=0.25), "up")
    assert (one.word, one.why) == ("too few folds to tell", "a t test needs 2 folds")


@pytest.mark.slow
def test_folds_use_the_corrected_t():
    results = study({"up": 0.6}, replicates=range(5), folds=[0], held_out=0.25)
    found = verdict(results, "up")
    differences = np.array(list(found.differences.values()))
    t = differences.mean() / np.sqrt((1 / 5 + 1 / 4) * differences.var(ddof=1))
    assert found.p_seeds == pytest.approx(2 * stats.t.sf(abs(t), 4))
    assert found.p_both == pytest.approx(found.p_seeds, rel=0.1)  # folds share no images: there is nothing to add
    assert verdict(replace(results, held_out=0.0), "up").p_seeds < found.p_seeds


@pytest.mark.slow
@pytest.mark.parametrize("images", [20, 60])
def test_folds_of_few_images_have_an_interval_over_images(images):
    """A resample of all images may draw none of one fold."""
    results = study({"up": 0.9}, replicates=range(5), images=images // 5, folds=[0], held_out=0.25, test="t")
    found = verdict(results, "up")
    assert found.over_images and np.isfinite(found.interval).all()
    assert found.p == max(found.p_seeds, found.p_both)


def test_resamples_that_say_nothing_of_a_fold_are_left_out():
    resamples = np.array([[0.1, np.nan, 0.3, 0.2], [0.1, 0.2, 0.3, np.nan]])
    assert _defined(resamples).tolist() == [[0.1, 0.3], [0.1, 0.3]]
    assert _defined(resamples[:, [1, 2, 3]]) is None


@pytest.mark.parametrize(("on", "ratio"), [("validation", 1 / 4), ("fold", 1 / 3)])
def test_a_calibration_fold_is_not_trained_on(on, ratio):
    settings = params.load(DEMO)
    settings = settings.model_copy(update={"calibrate": settings.calibrate.model_copy(update={"on": on})})
    assert _held_out(settings) == pytest.approx(ratio)


@pytest.mark.slow
def test_a_difference_inside_the_margin_is_too_small_to_matter():
    effects = {"hardly": 0.01}
    found = verdict(study(effects, replicates=range(8), images=2000, chance=0.05, margin=0.02), "hardly")
    assert found.word == "too small to matter" and found.why == "the interval is inside the margin"
    assert verdict(study(effects, replicates=range(8), images=2000, chance=0.05), "hardly").word != found.word


def test_equal_arms_show_no_difference():
    assert verdict(study({"same": 0.0}, replicates=range(8)), "same").word == "no difference shown"


def test_a_change_without_effect_is_identical_on_every_seed():
    """A deterministic model whose parameters the arm does not touch."""
    found = verdict(study({"same": 0.0}, chance=0.0), "same")
    assert found.word == "identical on every seed" and found.p is None and found.difference == 0


def test_equal_accuracy_with_other_predictions_is_not_identical():
    results = study({"same": 0.0}, replicates=range(6), chance=0.0)
    cells = [
        replace(cell, figures={MODEL: cell.figures[MODEL] | {"log_loss": 0.5 + 0.01 * cell.cell.replicate}})
        if cell.cell.arm == "same"
        else cell
        for cell in results.cells
    ]
    assert verdict(replace(results, cells=cells), "same").word == "no difference shown"


def test_seeds_that_change_nothing_are_no_repetitions():
    """A model without chance in it gives the same result with each seed: the seeds' test would call it certain."""
    tiny = verdict(study({"tiny": 0.01}, replicates=range(9), chance=0.0), "tiny")
    assert tiny.p_seeds is None and tiny.word == "no difference shown" and "tested over images" in tiny.why
    large = verdict(study({"large": 0.7}, replicates=range(2), chance=0.0), "large")
    assert large.word == "better" and large.p == large.p_both < 0.001


def test_without_images_to_resample_a_model_without_chance_shows_nothing():
    """ROC-AUC is no sum over images, and predictions may be gone: then no two results are repetitions."""
    results = study({"up": 0.3}, replicates=range(6), chance=0.0, margin=0.5)
    without = replace(results, cells=[replace(cell, predictions=None) for cell in results.cells])
    found = verdict(without, "up")
    assert (found.word, found.p, found.interval, found.p_both) == ("too few seeds to tell", None, None, None)
    assert found.why == "every seed gives the same result, and accuracy has no interval over images here"


def test_an_arm_with_missing_seeds_is_compared_on_the_common_ones():
    whole = study({"up": 0.3}, replicates=range(8))
    results = replace(whole, cells=[cell for cell in whole.cells if (cell.cell.arm, cell.cell.replicate) != ("up", 2)])
    results = replace(results, cells=[c for c in results.cells if (c.cell.arm, c.cell.replicate) != (BASELINE, 5)])
    found = analyse(results).comparisons["up", MODEL, "accuracy"]
    assert list(found.differences) == [0, 1, 3, 4, 6, 7]
    assert found.differences[3] == analyse(whole).comparisons["up", MODEL, "accuracy"].differences[3]


def test_an_arm_that_has_not_run_counts_in_the_correction():
    results = study({"up": 0.6, "down": -0.6}, replicates=range(6), missing=[("down", seed) for seed in range(6)])
    found = analyse(results)
    words = {comparison.arm: comparison.word for comparison in found.verdicts("accuracy")}
    assert words == {"up": "too few seeds to tell", "down": "not run"} and found.comparison_count == 2


def test_the_steps_to_come_of_a_greedy_path_count_in_the_correction():
    """Four arms in the first step, then three, two and one: ten comparisons at the end."""
    effects = {"a": 0.6, "b": 0.1, "c": 0.0, "d": 0.0}
    results = study(effects, replicates=range(6), path=[BASELINE], test="t")
    greedy = results.study.model_copy(update={"path": list(effects), "path_order": "greedy"})
    full = results.study.model_copy(update={"path": list(effects)})
    found = analyse(replace(results, study=greedy))
    assert found.comparison_count == 10 and analyse(replace(results, study=full)).comparison_count == 4
    first = found.comparisons["a", MODEL, "accuracy"]
    assert first.p == pytest.approx(min(1.0, 10 * max(first.p_seeds, first.p_both)))


def test_without_predictions_the_interval_is_over_seeds_alone():
    def gone(model):
        raise InputError(f"the predictions of {model} are not in DVC's cache")

    results = study({"up": 0.6}, replicates=range(6))
    for reader, unread in ((None, ()), (gone, ("the predictions of small_cnn are not in DVC's cache",))):
        without = replace(results, cells=[replace(cell, predictions=reader) for cell in results.cells])
        found = analyse(without)
        comparison = found.comparisons["up", MODEL, "accuracy"]
        values = list(comparison.differences.values())
        low, high = stats.t.interval(0.95, 5, np.mean(values), stats.sem(values))
        assert comparison.interval == pytest.approx((low, high)) and not comparison.over_images
        assert found.unread == unread


def test_a_path_compares_each_configuration_with_the_one_before():
    results = study({"a": 0.2, "a + b": 0.5}, path=[BASELINE, "a", "a + b"])
    found = analyse(results)
    step = found.steps["a + b", MODEL, "accuracy"]
    assert step.to == "a" and step.p is None
    mean = {arm: found.summaries[arm, MODEL, "accuracy"].mean for arm in results.arms}
    assert step.difference == pytest.approx(mean["a + b"] - mean["a"])


def test_the_same_results_give_the_same_statistics():
    one, other = (analyse(study({"up": 0.3, "down": -0.1})) for _ in range(2))
    assert isinstance(one, Statistics) and one == other


@pytest.mark.slow
@pytest.mark.parametrize("world", [WORLDS[0], WORLDS[4]], ids=lambda world: world.name)
def test_intervals_cover_and_words_claim_nothing_between_equal_arms(world):
    """`benchmarks.study_statistics` measures it with more studies; here chance is 4 standard errors of 40 studies."""
    shares = coverage(world, 4, 40, with_peer=False)
    for figure in ("accuracy", "macro_f1", "log_loss"):
        assert shares[figure][0] >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / 40)
    claims, _ = false_claims(world, 3, 4, 40, "t")
    assert claims <= 0.05 + 4 * np.sqrt(0.95 * 0.05 / 40)
