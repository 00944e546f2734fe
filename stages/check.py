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
    removed, foreign = remove_leftovers(settings.run)
    for path in removed:
        print(f"{path} was removed: `run` does not name it, and DVC would count it")
    for path in foreign:
        print(f"warning: no stage writes {path}, but DVC counts it: move it to another folder", file=sys.stderr)


if __name__ == "__main__":
    main()
