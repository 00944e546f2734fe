"""Which of the searched parameters matter: their importances, and the score over the two that matter most."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fakeprint.files import write_csv, write_figure
from fakeprint.search.space import Plan
from fakeprint.search.trials import best_trials

if TYPE_CHECKING:
    import optuna

REPORTS = Path("reports/searches")
LEAST = 4  # trials with a score, below which importances say nothing
SEED = 0  # of the forest behind the importances: the same trials give the same figures


def importances(plan: Plan, study: "optuna.Study") -> dict[str, float]:
    """Path → share of the score's variance over the ranges that it explains, from 0 to 1, the largest first.

    Functional ANOVA on a forest that is fitted to the trials (Hutter et al. 2014), by optuna. It describes these
    trials: with few of them it is rough. Empty with fewer than `LEAST` different trials, or where all scores are equal.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    scored = best_trials(study)
    if len(scored) < LEAST or len({trial.value for trial in scored}) < 2:
        return {}
    paths = [path for path in plan.search.ranges if len({trial.params[path] for trial in scored}) > 1]
    if len(paths) < 2:  # of a single parameter it is always 1
        return dict.fromkeys(paths, 1.0)
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=SEED), params=paths)
    return {path: float(share) for path, share in found.items()}


def write(plan: Plan, study: "optuna.Study") -> list[Path]:
    """Write reports/searches/NAME/: importances.csv and .png, and contour.png with two parameters or more.

    Returns the files; none where there are no importances.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import optuna

    shares = importances(plan, study)
    if not shares:
        return []
    folder = REPORTS / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "importances.csv", folder / "importances.png"]
    write_csv(files[0], pd.DataFrame({"parameter": shares.keys(), "importance": shares.values()}))
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.4 * len(shares)))
    names, values = list(shares)[::-1], list(shares.values())[::-1]
    axes.bar_label(axes.barh(names, values), fmt=" {:.2f}")
    axes.set_xlim(0, 1.1 * max(values))
    axes.set_xlabel(f"share of the accuracy's variance over {len(best_trials(study))} trials")
    axes.set_title(f"{plan.search.model}: importance of the searched parameters")
    axes.spines[["top", "right"]].set_visible(False)
    write_figure(files[1], figure)
    plt.close(figure)
    if len(shares) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            contour: Any = optuna.visualization.matplotlib.plot_contour(
                study, params=list(shares)[:2], target_name="accuracy on the folds"
            )
        contour.set_title(f"{plan.search.model}: accuracy over the two that matter most")
        contour.figure.set_size_inches(8, 5)
        files.append(folder / "contour.png")
        write_figure(files[2], contour.figure)
        plt.close(contour.figure)
    return files
