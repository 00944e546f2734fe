"""A process of `fakeprint search --jobs N`: `python -m fakeprint.search.worker FILE TRIALS`.

The database is what the environment names: its URL may have a password in it.
"""

import sys
from pathlib import Path

from fakeprint import parallel
from fakeprint.errors import one_line_errors
from fakeprint.files import main_root
from fakeprint.search import space, storage, trials


@one_line_errors
def main() -> None:
    """Run trials until the search is complete. The process that started this one reports, and ends MLflow's run."""
    path, wanted = sys.argv[1:]
    plan, root = space.load(Path(path)), main_root()
    with (
        storage.opened(storage.location(None, root), trials.study_name(plan), root) as search,
        parallel.backend(plan.settings({}).run),
        trials.search_run(plan, search, ends=False) as tracked,
    ):
        trials.run(plan, search, int(wanted), print, tracked)


if __name__ == "__main__":
    main()
