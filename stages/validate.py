"""validate: decode every file of the source once, say what is wrong with it, and fix the splits in the manifest."""

import sys
from pathlib import Path

from fakeprint import parallel, params
from fakeprint.data import report, validation
from fakeprint.data.manifest import FORM, save_manifest
from fakeprint.data.sources import open_source
from fakeprint.data.submission_form import submission_form
from fakeprint.data.verdicts import CHECKED_VERDICTS, applied, read_verdicts
from fakeprint.errors import InputError, one_line_errors
from fakeprint.files import write_csv, write_json

REPORT = Path("reports/validate")


@one_line_errors
def main() -> None:
    settings = params.load()
    data, limits = settings.data, settings.validate_
    source = open_source(data)
    with parallel.backend(settings.run):
        checked = validation.check_files(source, data, settings.seed, settings.run.workers)
    try:
        validation.require_few_bad(checked, limits.max_bad_fraction)
    except InputError:
        report.write_set_aside(checked, REPORT)  # what one needs to see then
        raise
    verdicts = None
    if limits.verdicts is not None:
        checked, verdicts = applied(checked, source.rows, read_verdicts(CHECKED_VERDICTS, limits.verdicts))
    found = validation.build(checked, source, data, limits, settings.seed)
    report.write(found, source, data, limits, settings.seed, REPORT)
    validation.require_allowed(found, limits)

    figures = validation.figures(found, limits, checked.listed)
    write_json("metrics/validate.json", figures if verdicts is None else figures | {"verdicts": verdicts})
    save_manifest(found.manifest)
    tests = list(found.manifest.loc[found.manifest["split"] == "test", "image_id"])
    left_out = validation.unsampled_tests(source, checked)
    columns = (data.image_column, data.label_column)
    write_csv(FORM, submission_form(source.container, source.form, *columns, tests, left_out))
    for line in (*validation.warnings(found, limits), *validation.notes(found, limits)):
        print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
