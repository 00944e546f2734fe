"""What DVC cannot see in params.yaml: the content of weights files, and outputs of models that no longer run.

`data/checked` holds a digest of the weights for each network and feature set that runs. Outputs of models that `run` no
longer names would stay in folders that several stages write into and others depend on as a whole: DVC would count them,
and dvc.lock would not match a fresh clone.
"""

from collections.abc import Sequence
from pathlib import Path

from fakeprint.digests import EVALUATED, PREDICTIONS, explained_name
from fakeprint.errors import InputError
from fakeprint.files import remove, remove_abandoned, sha256, write_json, written_folder
from fakeprint.params import NAME, Features, Params, Run

CHECKED = Path("data/checked")
# As in `features.files` and `evaluation.predictions`, whose import would cost each experiment a second.
FEATURES, MEMBERS = Path("data/features"), Path("data/members")
NOTHING = "no weights file"


def write_checked(settings: Params, folder: Path = CHECKED) -> None:
    """Write `params`, always the same; `run.json`; and `models/NAME` and `features/SET`, a digest of its weights file.

    Also `verdicts.csv`, a copy of the file that `validate.verdicts` names, empty if it names none.
    Raises InputError if a weights file or that file is missing.
    """
    blocks = {"models": settings.run.networks, "features": settings.run.features}
    digests = {
        f"{block}/{name}": weights_digest(getattr(getattr(getattr(settings, block), name), "weights", None), key)
        for block, names in blocks.items()
        for name in names
        for key in [f"{block}.{name}.weights"]
    }
    with written_folder(folder) as partial:
        (partial / "params").write_text("params.yaml is valid.\n")
        # so that DVC runs this stage again, and leftovers go, when the names differ from the lock's
        explained = {"explained": settings.explain.models} if settings.explain.models else {}
        write_json(partial / "run.json", {"features": settings.run.features, "models": settings.run.models} | explained)
        (partial / "verdicts.csv").write_bytes(_verdicts(settings.validate_.verdicts))
        for name, digest in digests.items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(f"{digest}\n")


def weights_digest(weights: str | None, key: str) -> str:
    """SHA-256 of a weights file; `NOTHING` if `weights` names none. key: its key in params.yaml, for the message."""
    if weights in (None, "default", "lite0"):
        return NOTHING
    try:
        return sha256(Path(weights))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(
            f"{key}: {weights} is not a file; copy the weights there, or set it to default or null"
        ) from None
    except OSError as error:
        raise InputError(f"{key}: {weights} cannot be read ({error.strerror})") from None


def _verdicts(path: str | None) -> bytes:
    """The content of a file of verdicts, which `validate` reads from here: DVC has no optional dependencies."""
    try:
        return b"" if path is None else Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"validate.verdicts: {path} cannot be read ({error.strerror}); copy the table there, or set it to null"
        ) from None


def remove_leftovers(run: Run, explained: Sequence[str] = ()) -> tuple[list[Path], list[Path]]:
    """Remove the outputs that `run` does not name from the folders that stages share.

    explained: names of the models that have a page.
    Returns the removed paths, and foreign ones, which were left because no stage writes them.
    """
    single = [*run.classifiers, *run.networks]
    named = {
        FEATURES: set(run.features),
        MEMBERS: {f"{name}.parquet" for name in single},
        PREDICTIONS: {f"{name}.parquet" for name in run.models},
        EVALUATED: {f"{name}.json" for name in run.models} | {explained_name(name) for name in explained},
    }
    removed, foreign = [], []
    for folder in filter(Path.is_dir, named):
        remove_abandoned(folder)
        for path in sorted(folder.iterdir()):
            if path.name in named[folder] or path.name.startswith("."):
                continue
            if path.name in Features.model_fields if folder == FEATURES else _is_of_a_model(path, folder):
                remove(path)
                removed.append(path)
            else:
                foreign.append(path)
    return removed, foreign


def _is_of_a_model(path: Path, folder: Path) -> bool:
    suffix = ".json" if folder == EVALUATED else ".parquet"
    name = path.stem.removesuffix(".explained") if folder == EVALUATED else path.stem
    return path.suffix == suffix and NAME.fullmatch(name) is not None and path.is_file()
