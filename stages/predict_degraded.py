"""predict_degraded: every model's probabilities of degraded validation images, one file per degradation and model."""

from dataclasses import replace

from fakeprint import parallel, params
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.degraded import load_models
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.champion import MODELS
from fakeprint.evaluation.predictions import DEGRADED, load_predictions, save_predictions
from fakeprint.files import written_folder
from fakeprint.robustness import load_ensembles, predict_degraded
from fakeprint.variants import degradations


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, images = load_dataset(), load_split("validation").images
    names, grid = settings.robustness.models or settings.run.models, degradations(settings)
    with written_folder(DEGRADED) as partial, parallel.backend(settings.run):
        if grid:
            ensembles = load_ensembles(names, settings, dataset.classes)
            members = [member for ensemble in ensembles.values() for member in ensemble.members]
            singles = dict.fromkeys([*(name for name in names if name not in ensembles), *members])
            models = load_models(singles, settings.predict, MODELS)
            clean = load_predictions(names[0], dataset.classes, "validation")
            for cell, of_models in predict_degraded(
                models, ensembles, images, grid, settings.seed, settings.run.workers
            ):
                for name in names:
                    predictions = replace(clean, probabilities=of_models[name])
                    save_predictions(name, dataset.classes, {"validation": predictions}, partial / cell)


if __name__ == "__main__":
    main()
