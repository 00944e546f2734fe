"""compare: the leaderboard, its pictures, and the champion copied out with everything that it needs."""

from rich.console import Console

from fakeprint import params, tracking
from fakeprint.data.arrays import load_dataset
from fakeprint.data.real_classes import real_classes
from fakeprint.errors import InputError, one_line_errors
from fakeprint.evaluation import champion, leaderboard, metrics, plots
from fakeprint.evaluation.predictions import PREDICTIONS, load_predictions
from fakeprint.evaluation.robustness import load_robustness
from fakeprint.files import write_json, written, written_folder


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset = load_dataset()
    title = settings.title
    if not settings.run.models:
        raise InputError(
            "nothing to compare: run.classifiers, run.networks and run.ensembles in params.yaml are all empty"
        )
    models, test = (
        {
            name: load_predictions(PREDICTIONS / f"{name}.parquet", dataset.classes, split)
            for name in settings.run.models
        }
        for split in ("validation", "test")
    )
    confidence, degraded = settings.compare.confidence, load_robustness()
    real = real_classes(settings.data.real_classes, dataset.classes, dataset.names)
    board = leaderboard.compare(models, dataset.names, confidence, degraded, test, settings.seed, real)
    champion.copy_out(board.champion.name, title, how=settings.predict)

    write_json("metrics/leaderboard.json", board.as_json())
    with written("metrics/leaderboard.md") as partial:
        partial.write_text(board.as_markdown(title), encoding="utf-8")
    best = models[board.champion.name]
    counts = metrics.confusion(best.labels, best.predicted, len(dataset.names))
    with written_folder("reports/leaderboard") as partial:
        plots.save(plots.leaderboard_picture(board, title), partial / "leaderboard.png")
        plots.save(plots.recall_picture(board, title), partial / "recall.png")
        plots.save(plots.summary_picture(board, counts, title), partial / "summary.png")
    tracking.record(settings, settings.run.models)
    Console().print(board.as_table(title))


if __name__ == "__main__":
    main()
