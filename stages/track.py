"""track: log every model to MLflow, with its figures, tables and pictures, and register the champion."""

from fakeprint import params, tracking
from fakeprint.errors import one_line_errors


@one_line_errors
def main() -> None:
    settings = params.load()
    tracking.record(settings, settings.run.models)


if __name__ == "__main__":
    main()
