"""check: is params.yaml valid? Only this stage depends on the whole file, so that an edit reruns no other by itself."""

import sys

from fakeprint import params
from fakeprint.checked import remove_leftovers, write_checked
from fakeprint.errors import one_line_errors


@one_line_errors
def main() -> None:
    settings = params.load()
    params.require_stated(settings)
    write_checked(settings)
    removed, foreign = remove_leftovers(settings.run, settings.explain.models)
    for path in removed:
        print(f"{path} was removed: it is not in `run`, and DVC would hash it")
    for path in foreign:
        print(
            f"warning: {path} is not written by any stage, but DVC hashes it; move it to another folder",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
