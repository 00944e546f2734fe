"""track: log every model to MLflow, with its figures, tables and pictures, and register the champion."""

from fakeprint import params, tracking
from fakeprint.digests import EVALUATED
from fakeprint.errors import InputError, first_few, one_line_errors
from fakeprint.files import read_json, write_json


@one_line_errors
def main() -> None:
    settings = params.load()
    missing = [name for name in settings.run.models if not (EVALUATED / f"{name}.json").exists()]
    if missing:
        raise InputError(f"not evaluated yet: {first_few(missing)}; run `dvc repro`")
    tracking.record(settings, settings.run.models)
    digests = {name: read_json(EVALUATED / f"{name}.json")["model"] for name in settings.run.models}
    write_json("data/tracked.json", digests)  # an output, so that DVC runs this stage in a fresh clone


if __name__ == "__main__":
    main()
