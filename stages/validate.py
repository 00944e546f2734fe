"""validate: decode every file of the source once, say what is wrong with it, and fix the splits in the manifest."""

import itertools
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fakeprint import parallel, params, seeds
from fakeprint.data import report, validation
from fakeprint.data.duplicates import duplicates_table
from fakeprint.data.leaks import leak_line
from fakeprint.data.manifest import FORM, save_manifest
from fakeprint.data.scan import each_file, thumbnail
from fakeprint.data.shortcuts import audit_lines
from fakeprint.data.sources import Source, class_names, open_source
from fakeprint.data.submission_form import submission_form
from fakeprint.errors import InputError, one_line_errors
from fakeprint.files import write_json, written, written_folder

REPORT = Path("reports/validate")
METRICS = Path("metrics/validate.json")


@one_line_errors
def main() -> None:
    settings = params.load()
    data, limits = settings.data, settings.validate_
    source = open_source(data)
    with parallel.backend(settings.run):
        checked = validation.check_files(source, data, settings.seed, settings.run.workers)
    try:
        validation.require_few_bad(checked, limits.max_bad_fraction)
    except InputError:  # the list of what was set aside is what one needs then
        with written_folder(REPORT) as folder:
            write_table(checked.set_aside, folder / "set_aside.csv")
        raise
    found = validation.build(checked, source, data, limits, settings.seed)
    write_report(found, source, settings)
    if limits.on_leak == "stop" and len(found.leaked):
        raise InputError(leak_line(found.leaked, limits.on_leak))
    audited = audit_lines(found.shortcut, found.trace, limits)
    for action, line in audited:
        if action == "stop":
            raise InputError(line)
    write_json(METRICS, validation.figures(found, limits, checked.listed))
    save_manifest(found.manifest)
    with written(FORM) as partial:
        tests = found.manifest.loc[found.manifest["split"] == "test", "image_id"]
        write_table(submission_form(source.container, data.image_column, data.label_column, list(tests)), partial)
    for line in validation.warnings(found, limits):
        print(f"warning: {line}", file=sys.stderr)
    for action, line in audited:
        if action == "tell":
            print(f"note: {line}", file=sys.stderr)


def write_report(found: validation.Validation, source: Source, settings: params.Params) -> None:
    names = class_names(settings.data, found.classes)
    pictures = sample_pictures(found, source, settings)
    with written_folder(REPORT) as folder:
        report.save(report.class_counts(found.manifest, found.classes, names), folder / "class_counts.png")
        report.save(report.samples(pictures, names), folder / "samples.png")
        report.save(report.channels(found, names), folder / "channels.png")
        report.save(report.sizes(found, names), folder / "sizes.png")
        report.save(report.audits(found, settings.validate_.max_shortcut_excess), folder / "audits.png")
        write_table(found.set_aside, folder / "set_aside.csv")
        write_table(duplicates_table(found.pairs, found.compared), folder / "duplicates.csv")
        write_table(found.leaked, folder / "leaks.csv")


def sample_pictures(found: validation.Validation, source: Source, settings: params.Params) -> list[list[np.ndarray]]:
    """A few train images of each class, uint8 (H, W, 3)."""
    train = found.manifest[found.manifest["split"] == "train"]
    drawn = []
    for label in found.classes:
        paths = train.loc[train["label"] == label, "path"].to_numpy(dtype=object)
        rng = seeds.generator(settings.seed, f"validate/samples/{label}")
        drawn.append(sorted(rng.permutation(paths)[: settings.validate_.sample_images]))
    listed = [path for chosen in drawn for path in chosen]
    use = partial(thumbnail, max_pixels=settings.data.max_pixels, side=200)
    results = iter(each_file(source.container, listed, settings.data.max_pixels, use, 1, "sample pictures"))
    pictures = [list(itertools.islice(results, len(chosen))) for chosen in drawn]
    return [[picture for picture in shown if not isinstance(picture, str)] for shown in pictures]


def write_table(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
