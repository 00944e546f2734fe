"""compare: the leaderboard, which names the champion, its pictures, and the plots of all models."""

from rich.console import Console

from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.data.real_classes import real_classes
from fakeprint.errors import InputError, one_line_errors
from fakeprint.evaluation import curves, leaderboard, plots
from fakeprint.evaluation.predictions import CALIBRATED, PREDICTED, load_predictions
from fakeprint.evaluation.robustness import load_robustness
from fakeprint.files import write_csv, write_figure, write_json, written, written_folder


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, names, title = load_dataset(), settings.run.models, settings.title
    if not names:
        raise InputError(
            "nothing to compare: run.classifiers, run.networks and run.ensembles in params.yaml are all empty"
        )
    models, test = (
        {name: load_predictions(name, dataset.classes, split, CALIBRATED) for name in names} for split in PREDICTED
    )
    confidence, degraded = settings.compare.confidence, load_robustness()
    real = real_classes(settings.data.real_classes, dataset.classes, dataset.names)
    board = leaderboard.compare(models, dataset.names, confidence, degraded, test, settings.seed, real)

    write_json("metrics/leaderboard.json", board.as_json())
    with written("metrics/leaderboard.md") as partial:
        partial.write_text(board.as_markdown(title), encoding="utf-8")
    write_csv("metrics/roc.csv", curves.roc_table(models))
    write_csv("metrics/reliability.csv", curves.reliability_table(models, settings.evaluate.calibration_bins))
    write_csv("metrics/confusion.csv", curves.confusion_table(models, dataset.names))
    with written_folder("reports/leaderboard") as partial:
        for name, figure in plots.leaderboard_pictures(board, models[board.champion.name], title).items():
            write_figure(partial / f"{name}.png", figure)
    Console().print(board.as_table(title))


if __name__ == "__main__":
    main()
