"""Removes what a study has made, and nothing that another one uses."""

from fakeprint.errors import InputError
from fakeprint.files import remove as remove_path
from fakeprint.params import suggestion
from fakeprint.studies import experiments
from fakeprint.studies.runners.queue import forget_tasks
from fakeprint.studies.store import Store


def remove(store: Store, name: str) -> str:
    """Remove a study's experiments, results, logs and queue entries; a line that says what was removed.

    Cells that another study has asked for too stay. The clones go with the last study. DVC's cache keeps what it has;
    `dvc gc` clears it.

    Raises:
        InputError: no study of this name has run here, or one is running.
    """
    if name not in store.names():
        raise InputError(f"no study '{name}' has run here{suggestion(name, store.names())}")
    with store.locked(name):
        own = set(store.cells(name))
        shared = {key: other for other in store.names() if other != name for key in store.cells(other) if key in own}
        found = experiments.found(store.root)
        alone = own - set(shared)
        removed = [each for key in sorted(alone) for each in found.get(key, [])]
        forget_tasks(store, {each.name for each in removed} | {_name(store, name, key) for key in own})
        for each in removed:
            experiments.git(store.root, "update-ref", "-d", each.reference, each.commit)
        taken = sum(store.taken(key).exists() for key in alone)
        for key in alone:
            store.forget(key)
        store.drop(name)
        if not store.names():
            for folder in (*store.clones(), store.folder / "scratch"):
                remove_path(folder)
    kept = sum(bool(found.get(key)) or store.taken(key).exists() for key in shared)
    line = f"{name}: {len(removed)} experiments removed" + f", {taken} taken results" * bool(taken)
    if kept:
        line += f"; {kept} stay, because {', '.join(sorted(set(shared.values())))} uses them too"
    return line


def _name(store: Store, study: str, key: str) -> str:
    arm, replicate = store.cells(study)[key]
    return experiments.experiment_name(study, experiments.Cell(arm, replicate, key))
