"""unknown NAME: what every model answers for the images of `data.unknown.NAME`, which belong to no class."""

import sys

import pandas as pd

from fakeprint import parallel, params
from fakeprint.data.arrays import load_dataset
from fakeprint.data.unlabelled import decoded
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.predictions import CALIBRATED, load_predictions
from fakeprint.files import write_csv, write_figure, write_json, written
from fakeprint.unknown_images import probabilities_of
from fakeprint.verdict.unknown_images import Answers, distributions_picture, figures_of, table


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset = load_dataset()
    with (
        parallel.backend(settings.run),
        decoded(f"data.unknown.{name}", settings.data.unknown[name], dataset, settings.run.workers) as found,
    ):
        probabilities = probabilities_of(found, settings)
    answers = {
        model: Answers(load_predictions(model, dataset.classes, "validation", CALIBRATED), of_unknown)
        for model, of_unknown in probabilities.items()
    }
    confidence = settings.compare.confidence
    figures = {model: figures_of(each, dataset.names, settings.seed, confidence) for model, each in answers.items()}

    columns = {
        f"{model} | {label}": of_unknown[:, number]
        for model, of_unknown in probabilities.items()
        for number, label in enumerate(dataset.classes)
    }
    with written(f"data/unknown/{name}.parquet") as partial:
        pd.DataFrame({"path": found.paths[found.readable], **columns}).to_parquet(partial)
    write_json(f"metrics/unknown/{name}.json", figures)
    write_csv(f"metrics/unknown/{name}.csv", table(figures))
    write_csv(f"reports/unknown/{name}/set_aside.csv", found.set_aside)
    title = f"{name}, which belong to no class\nmodels of {settings.title}"
    write_figure(f"reports/unknown/{name}/distributions.png", distributions_picture(answers, title))
    if len(found.set_aside):
        print(f"{name}: {len(found.set_aside)} file(s) set aside, see reports/unknown/{name}/set_aside.csv")


if __name__ == "__main__":
    main()
