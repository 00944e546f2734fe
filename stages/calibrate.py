"""calibrate: every model's calibrated probabilities of clean and degraded images, by which it is then scored."""

import sys

from fakeprint import params
from fakeprint.data.arrays import load_dataset
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import CALIBRATED
from fakeprint.files import write_csv, write_figure, write_json, written_folder
from fakeprint.verdict.calibrated import CALIBRATIONS, calibrate, degraded_cells
from fakeprint.verdict.calibration_report import calibration_table, reliability_grid


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, bins, confidence = load_dataset(), settings.evaluate.calibration_bins, settings.compare.confidence
    figures, pictured = {}, {}
    with written_folder(CALIBRATED) as partial, written_folder(CALIBRATIONS) as fitted:
        for name in settings.run.models:
            cells = degraded_cells(name, settings)
            model = calibrate(name, settings.calibrate, dataset, cells, settings.seed)
            if model.warning:
                print(f"warning: {name}: {model.warning}", file=sys.stderr)
            model.save(partial, dataset.classes)
            write_json(fitted / f"{name}.json", model.as_json())
            figures[name] = model.figures(bins, confidence, settings.seed)
            pictured[name] = model.reliability(bins)

    write_json("metrics/calibration.json", {"method": settings.calibrate.method, "models": figures})
    write_csv("metrics/calibration.csv", calibration_table(figures))
    write_figure(
        "reports/calibration/reliability.png",
        reliability_grid(pictured, f"Reliability on validation images\n{settings.title}"),
    )


if __name__ == "__main__":
    main()
