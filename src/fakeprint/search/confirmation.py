"""The best trial of a search as an arm of a study, which confirms it on images that the search did not score."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.files import written
from fakeprint.presets import DEMO
from fakeprint.search.space import Plan
from fakeprint.studies.plan import FOLDER, load

HEADER = "# yaml-language-server: $schema=study.schema.json\n"
OF_THE_STUDY = ("run", "tracking", "data.path", "prepare.fold", "submit")  # what a study sets itself, or is told
SEEDS = [1, 2, 3, 4, 5]


def study_file(name: str) -> Path:
    """studies/NAME.yaml, which is not there yet. Raises InputError if it is."""
    path = FOLDER / f"{name}.yaml"
    if path.exists():
        raise InputError(f"--study: {path} exists; give another name")
    return path


def write_study(plan: Plan, values: dict[str, Any], path: Path) -> None:
    """Write a study that compares these values with params.yaml as it is now, and check it as `study run` does.

    The baseline is params.yaml's difference to the demo and the search's fixed values. A network is repeated over
    seeds, a classifier, which draws nothing, over the folds of train that the search did not score, of which it needs
    two; with fewer, it is compared on the validation images too.
    Raises InputError, and then no file is left.
    """
    changed = dict(_changed(params.read(DEMO), plan.content))
    baseline = {key: value for key, value in changed.items() if not _is_the_study_s(key)} | plan.search.fixed
    study: dict[str, Any] = {
        "question": f"Is the best of the search {plan.name} better than what it started from?",
        "preset": "demo",
        "baseline": {key: value for key, value in baseline.items() if key not in values},
        "arms": {"best": values},
        "models": [plan.search.model],
    }
    start = {key: _at(plan.content, key) for key in values if key in changed}
    study["baseline"] |= start
    others = [fold for fold in range(plan.settings({}).prepare.folds) if fold not in plan.search.folds]
    if plan.kind == "network":
        study["seeds"] = SEEDS
    else:
        study |= {"folds": others} if len(others) > 1 else {"seeds": SEEDS, "vary": "all"}
    study["test"] = "t"
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 10_000
    text = StringIO()
    yaml.dump(json.loads(json.dumps(study)), text)
    path.parent.mkdir(exist_ok=True)
    with written(path) as partial:
        partial.write_text(HEADER + text.getvalue(), encoding="utf-8")
    try:
        load(path)
    except InputError as error:
        if "data.path" not in str(error):  # data elsewhere, which `study run --data` names
            path.unlink()
            raise


def _changed(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of what is different or new in `after`, and its values; a list is one value.

    A mapping with a dot in a key is one value too, since a dotted key could not name what is in it.
    """
    for key, value in after.items():
        known = before.get(key)
        if isinstance(value, dict) and isinstance(known, dict) and value and not any("." in name for name in value):
            yield from _changed(known, value, f"{prefix}{key}.")
        elif key not in before or value != known:
            yield f"{prefix}{key}", value


def _is_the_study_s(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in OF_THE_STUDY)


def _at(content: Any, key: str) -> Any:
    for name in key.split("."):
        content = content[name]
    return content
