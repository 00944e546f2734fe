"""What a source holds: image ids, splits, labels and files, from csv files or from class folders."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from fakeprint.data.containers import Container, open_container
from fakeprint.data.decode import EXTENSIONS
from fakeprint.data.real_classes import real_classes
from fakeprint.errors import InputError, first_few
from fakeprint.params import Data, near

SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Source:
    """A source as it stands, before any file is opened.

    rows: image_id (str), split ("train", "validation", "test"), label (str or None), path (str inside the container, or
    None where a labelled image has no file), in the source's order.
    repeated: rows of a csv that name an image a second time, with the same label; same columns.
    splits: the splits that the source itself has.
    others: files that are no images by their extension, and images that no csv names.
    """

    container: Container
    rows: pd.DataFrame
    repeated: pd.DataFrame
    splits: list[str]
    others: int


def open_source(data: Data) -> Source:
    """List a source. No image is opened.

    Raises:
        InputError: path, csv or column missing, a duplicate id with two labels, a class that train does not have, a
            test id without file, an empty source, fewer than two classes.
    """
    container = open_container(data.path)
    source = _csv_source(container, data) if data.layout == "csv" else _folder_source(container)
    _require_classes(source, data)
    return source


def classes_of(labels: Iterable[str]) -> list[str]:
    """The distinct labels in order: by number where all are whole numbers, else by text. Position = class index."""
    distinct = set(labels)
    if all(label.removeprefix("-").isdecimal() for label in distinct):
        return sorted(distinct, key=lambda label: (int(label), label))
    return sorted(distinct)


def class_names(data: Data, classes: list[str]) -> list[str]:
    """What reports call each class.

    Raises:
        InputError: data.class_names names a class that is not there, or two classes would be shown by one name.
    """
    named = {str(label): name for label, name in data.class_names.items()}
    for label in named:
        if label not in classes:
            raise InputError(f"data.class_names: the source has no class '{label}'{near(label, classes)}")
    shown = [named.get(label, label) for label in classes]
    twice = next((name for name in shown if shown.count(name) > 1), None)
    if twice is not None:
        alike = [label for label, name in zip(classes, shown, strict=True) if name == twice]
        raise InputError(f"data.class_names: '{twice}' would be the name of {len(alike)} classes: {first_few(alike)}")
    return shown


# --- csv layout


def _csv_source(container: Container, data: Data) -> Source:
    files = _csv_files(container)
    if "train" not in files:
        folders = "; for folders of classes set data.layout to folders" if _images(container.names) else ""
        raise InputError(f"{container.path}: train.csv is missing{folders}")
    prefix = files["train"].rpartition("/")[0]
    prefix = f"{prefix}/" if prefix else ""
    images = [name for name in _images(container.names) if name.startswith(prefix)]
    tables = {}
    for split in ("train", "validation", "test"):
        if split in files:
            table = _read_ids(container, files[split], data, labelled=split != "test")
            table["path"] = _found(table["image_id"], split, images, prefix, _shown(container, files[split]))
            table["split"] = split
            tables[split] = table
    if "test" in tables:
        lost = tables["test"].loc[tables["test"]["path"].isna(), "image_id"].tolist()
        if lost:
            raise InputError(
                f"{_shown(container, files['test'])}: {len(lost)} test id(s) without file: {first_few(lost)}; "
                "add the files or take the ids out"
            )
    rows = pd.concat(tables.values(), ignore_index=True)[["image_id", "split", "label", "path"]]
    again = rows.duplicated(["split", "image_id"])
    _require_one_label(rows, container)
    kept = rows[~again].reset_index(drop=True)
    others = len(container.names) - len(files) - kept["path"].nunique()
    return Source(container, kept, rows[again].reset_index(drop=True), list(tables), others)


def _csv_files(container: Container) -> dict[str, str]:
    """Split → name of its csv, all beside train.csv; any case, val or valid for validation too."""
    tables = [name for name in container.names if name.lower().endswith(".csv")]
    trains = [name for name in tables if name.rpartition("/")[2].lower() == "train.csv"]
    if not trains:
        return {}
    top = min(trains, key=lambda name: (name.count("/"), name)).rpartition("/")[0]
    found: dict[str, str] = {}
    for name in tables:
        folder, _, file = name.rpartition("/")
        split = SPLIT_NAMES.get(file.lower().removesuffix(".csv"))
        if folder != top or split is None:
            continue
        if split in found:
            raise InputError(f"{container.path}: both {found[split]} and {name} say what {split} is; keep one")
        found[split] = name
    return found


def _read_csv(container: Container, name: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            io.BytesIO(container.read(name)),
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            index_col=False,
        ).astype(object)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{_shown(container, name)} can not be read as CSV: {' '.join(str(error).split())}") from None
    table.columns = [str(column).strip() for column in table.columns]
    return table.apply(lambda column: column.str.strip()).astype(object)


def _read_ids(container: Container, name: str, data: Data, labelled: bool = False) -> pd.DataFrame:
    """image_id and label (None where there is no label column) of one csv."""
    table = _read_csv(container, name)
    shown = _shown(container, name)
    for key, column in (("image_column", data.image_column), ("label_column", data.label_column)):
        if column not in table.columns and (labelled or key == "image_column"):
            raise InputError(f"{shown} has no column '{column}' (data.{key}){near(column, table.columns)}")
    if table.empty:
        raise InputError(f"{shown} has no rows")
    ids = table[data.image_column]
    if (ids == "").any():
        raise InputError(f"{shown}: {int((ids == '').sum())} row(s) without {data.image_column}; fill or delete them")
    has_labels = data.label_column in table.columns and (labelled or (table[data.label_column] != "").all())
    labels = table[data.label_column] if has_labels else pd.Series([None] * len(table), dtype=object)
    if (labels == "").any():
        lost = ids[labels == ""].tolist()
        raise InputError(f"{shown}: {len(lost)} row(s) without {data.label_column}: {first_few(lost)}")
    return pd.DataFrame({"image_id": ids, "label": labels}, dtype=object)


def _found(ids: pd.Series, split: str, images: list[str], prefix: str, shown: str) -> list[str | None]:
    """The file of each id, or None: in the split's own folder where there is one, else anywhere beside the csv.

    An id is a path or a name, with or without its extension; one with an extension also finds the same name with
    another (competitions re-encode their images and keep the ids).
    """
    own = {name for name in images if SPLIT_NAMES.get(name[len(prefix) :].partition("/")[0].lower()) == split}
    under = [(name, name[len(prefix) :].partition("/")[2]) for name in images if name in own]
    if not under:
        under = [(name, name[len(prefix) :]) for name in images]
    else:
        under += [(name, name[len(prefix) :]) for name in own]
    by: list[dict[str, set[str]]] = [{}, {}, {}, {}]
    for name, inside in under:
        file = inside.rpartition("/")[2]
        for lookup, key in zip(by, (inside, _stem(inside), file, _stem(file)), strict=True):
            lookup.setdefault(key, set()).add(name)
    paths: list[str | None] = []
    ambiguous: list[str] = []
    for image_id in ids:
        wanted = image_id.removeprefix("./")
        matches = _first_match(wanted, by)
        if len(matches) > 1:
            ambiguous.append(image_id)
        paths.append(min(matches) if matches else None)
    if ambiguous:
        raise InputError(
            f"{shown}: {len(ambiguous)} id(s) fit more than one file: {first_few(ambiguous)}; "
            "write the extension or the folder into the id"
        )
    return paths


def _first_match(wanted: str, by: list[dict[str, set[str]]]) -> set[str]:
    for key, lookups in ((wanted, by), (_stem(wanted), by[1::2])):
        for lookup in lookups:
            if key in lookup:
                return lookup[key]
    return set()


def _require_one_label(rows: pd.DataFrame, container: Container) -> None:
    """An image may stand in one csv twice, or in two csv files, but with one label only."""
    labelled = rows[rows["label"].notna()]
    by_id = labelled.groupby(["split", "image_id"])["label"].transform("nunique")
    by_file = labelled.groupby("path")["label"].transform("nunique")  # NaN where there is no file
    ids = list(dict.fromkeys(labelled.loc[(by_id > 1) | (by_file > 1), "image_id"]))
    if ids:
        raise InputError(
            f"{container.path}: {len(ids)} duplicate image id(s) with two labels: {first_few(ids)}; "
            "keep one row of each"
        )


# --- folder layout


def _folder_source(container: Container) -> Source:
    images = _images(container.names)
    if not images:
        raise InputError(f"{container.path} has no images (looked for {', '.join(sorted(EXTENSIONS))})")
    prefix = _top_of_folders(images)
    rows = list(_folder_rows(images, prefix))
    has_splits = any(split for _, split, _ in rows)
    if has_splits:
        rows = [row for row in rows if row[1]]
    loose = [name for name, split, label in rows if label is None and split != "test"]
    if loose:
        where = "a split's folder" if has_splits else "the source's top folder"
        raise InputError(
            f"{container.path}: {len(loose)} image(s) lie directly in {where}, in no class folder: {first_few(loose)}"
        )
    table = pd.DataFrame(
        {
            "image_id": [name[len(prefix) :] for name, _, _ in rows],
            "split": [split or "train" for _, split, _ in rows],
            "label": [label for _, _, label in rows],
            "path": [name for name, _, _ in rows],
        },
        dtype=object,
    )
    order = {"train": 0, "validation": 1, "test": 2}
    table = table.sort_values("split", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    splits = [split for split in order if (table["split"] == split).any()]
    if "train" not in splits:
        raise InputError(f"{container.path} has a {splits[0]} folder but no train folder")
    return Source(container, table, table.iloc[:0], splits, len(container.names) - len(table))


def _top_of_folders(images: list[str]) -> str:
    """The folder that holds the splits or classes: archives often put all in one folder more."""
    prefix = ""
    while True:
        parts = [name[len(prefix) :].split("/") for name in images]
        firsts = {part[0] for part in parts}
        only = next(iter(firsts))
        if len(firsts) > 1 or only.lower() in SPLIT_NAMES or any(len(part) < 3 for part in parts):
            return prefix
        prefix += f"{only}/"


def _folder_rows(images: list[str], prefix: str) -> Iterator[tuple[str, str | None, str | None]]:
    """Name, split (None outside the splits' folders) and label (None outside a class folder) of each image."""
    for name in images:
        *folders, _ = name[len(prefix) :].split("/")
        split = SPLIT_NAMES.get(folders[0].lower()) if folders else None
        classes = folders[1:] if split else folders
        yield name, split, classes[0] if classes else None


# --- both


def _require_classes(source: Source, data: Data) -> None:
    rows = source.rows
    known = classes_of(rows.loc[rows["split"] == "train", "label"])
    if len(known) < 2:
        raise InputError(f"{source.container.path}: train has one class only, '{known[0]}'; at least two are needed")
    for split in ("validation", "test"):
        labelled = rows[(rows["split"] == split) & rows["label"].notna()]
        strange = labelled[~labelled["label"].isin(known)]
        if len(strange):
            names = classes_of(strange["label"])
            raise InputError(
                f"{source.container.path}: {split} has {len(strange)} image(s) of {len(names)} class(es) that train "
                f"does not have: {first_few(names)}{near(names[0], known)} "
                f"(images: {first_few(strange['image_id'], 3)})"
            )
    real_classes(data.real_classes, known, class_names(data, known))


def _images(names: list[str]) -> list[str]:
    return [name for name in names if _stem(name) != name]


def _stem(name: str) -> str:
    """The name without its extension, where that is one of an image."""
    dot = name.rfind(".")
    return name[:dot] if dot > 0 and name[dot:].lower() in EXTENSIONS else name


def _shown(container: Container, name: str) -> str:
    return str(container.path / name)
