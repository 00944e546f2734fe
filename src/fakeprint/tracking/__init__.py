"""MLflow, and nothing else knows that MLflow exists. docs/experiments.md says what its runs hold.

Two stages log: `train` the curves of a network while it trains, and `track`, the last one, everything else. A model is
identified by its content, the tag `fakeprint.model`: a digest of its folder, and for an ensemble of its predictions
too, since its folder only names the members. So what shows does not depend on which stages ran. `track` finds the run
of a training that DVC skipped; where there is none (a classifier, a network that another machine trained, a database
that was deleted) it is made from the files, curves included.

A study has a run too, with its means, differences and report. The runs of its cells' models are below it, and have the
tag `study.NAME`; a run that two studies share is below the one that was reported first. Results of another machine,
which `fakeprint study take` took in, get their runs with the report; the tag `fakeprint.taken` marks them.
"""

from fakeprint.tracking.making import noted
from fakeprint.tracking.page import compare_page, page, server
from fakeprint.tracking.runs import TrackedRun, TrackedSearch, record, record_study, search_run, training_run

__all__ = [
    "TrackedRun",
    "TrackedSearch",
    "compare_page",
    "noted",
    "page",
    "record",
    "record_study",
    "search_run",
    "server",
    "training_run",
]
