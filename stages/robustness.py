"""robustness: figures of every model on degraded validation images, for `compare`, plots and MLflow."""

from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation import plots
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, load_predictions
from fakeprint.evaluation.robustness import CLEAN, FIGURES, HEAT, TABLE, robustness
from fakeprint.files import write_csv, write_figure, write_json


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, names = load_dataset(), settings.robustness.models or settings.run.models

    def predictions_of(name: str, cell: str) -> Predictions:
        folder = CALIBRATED if cell == CLEAN else CALIBRATED / "degraded" / cell
        return load_predictions(name, dataset.classes, "validation", folder)

    bins, confidence = settings.evaluate.calibration_bins, settings.compare.confidence
    cells = [CLEAN, *settings.robustness.grid]
    table = robustness(predictions_of, names, cells, dataset.names, bins, confidence, settings.seed)

    write_json(FIGURES, table.as_json())
    write_csv(TABLE, table.as_frame())
    write_figure(HEAT, plots.robustness_picture(table, settings.title))


if __name__ == "__main__":
    main()
