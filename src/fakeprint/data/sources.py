"""The contents of a source: image ids, splits, labels and files, from csv files or from class folders."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from fakeprint.data.arrays import SPLITS
from fakeprint.data.containers import Container, open_container
from fakeprint.data.decode import EXTENSIONS
from fakeprint.data.generators import generator_names, generator_splits
from fakeprint.data.real_classes import real_classes
from fakeprint.data.submission_form import SAMPLE
from fakeprint.data.tables import read_table
from fakeprint.data.unread_formats import count_by_extension, require_read_classes, unread_images
from fakeprint.errors import InputError, first_few
from fakeprint.params import Data, suggestion

COLUMNS = ["image_id", "split", "label", "generator", "group_name", "path"]
SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class NotTaken:
    """Files of a source that are in no split.

    folders: number of images outside the splits' folders, by folder (`.` is the top). unlisted: number of images that
    no csv names. other: number of files that are neither images by their extension nor tables that are read. unread:
    those of them that are images of formats that are not read, by extension.
    """

    folders: dict[str, int]
    unlisted: int
    other: int
    unread: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A source before any image is opened.

    rows: `COLUMNS`, in the source's order: image_id (str), split ("train", "validation", "test"), label (str or None),
    generator (str or None; for a real image, the generator whose fakes it is compared with), group_name (str or None,
    equal for images that belong together), path (str inside the container, or None where a labelled image has no file).
    repeated: rows of a csv that name an image a second time, with the same label; same columns.
    splits: the splits that the source itself has.
    not_taken: files that are in no row.
    form: the csv that gives a submission its ids, order and header; None where none does.
    """

    container: Container
    rows: pd.DataFrame
    repeated: pd.DataFrame
    splits: list[str]
    not_taken: NotTaken
    form: str | None


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
    """The name of each class in reports.

    Raises:
        InputError: data.class_names names a class that does not exist, or gives two classes one name.
    """
    named = {str(label): name for label, name in data.class_names.items()}
    for label in named:
        if label not in classes:
            raise InputError(f"data.class_names: the source has no class '{label}'{suggestion(label, classes)}")
    shown = [named.get(label, label) for label in classes]
    twice = next((name for name in shown if shown.count(name) > 1), None)
    if twice is not None:
        same_name = [label for label, name in zip(classes, shown, strict=True) if name == twice]
        raise InputError(
            f"data.class_names: {len(same_name)} classes would have the name '{twice}': {first_few(same_name)}"
        )
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
    sample = _sample_submission(container)
    if sample is not None:
        files.setdefault("test", sample)
    tables = {}
    for split in SPLITS:
        if split in files:
            table = _read_ids(container, files[split], data, labelled=split != "test")
            if files[split] == sample:  # its labels only show the form
                table[["label", "generator", "group_name"]] = None
            table["path"] = _found(table["image_id"], split, images, prefix, _shown(container, files[split]))
            table["split"] = split
            tables[split] = table
    if "test" in tables:
        lost = tables["test"].loc[tables["test"]["path"].isna(), "image_id"].tolist()
        if lost:
            raise InputError(
                f"{_shown(container, files['test'])}: {len(lost)} test id(s) without file: {first_few(lost)}; "
                f"add the files or remove the ids{', or the csv' if files['test'] == sample else ''}"
            )
    rows = pd.concat(tables.values(), ignore_index=True)[COLUMNS]
    again = rows.duplicated(["split", "image_id"])
    _require_one_of_each(rows, container)
    kept = rows[~again].reset_index(drop=True)
    unlisted = len(_images(container.names)) - kept["path"].nunique()
    form = sample or files.get("test")
    other = _other_files(container.names, {form, *files.values()})
    not_taken = NotTaken({}, unlisted, other, count_by_extension(container.names))
    return Source(container, kept, rows[again].reset_index(drop=True), list(tables), not_taken, form)


def _sample_submission(container: Container) -> str | None:
    """The sample submission with the shortest path: archives often hold one folder around everything."""
    found = [name for name in container.names if _file(name).lower() == SAMPLE]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def _csv_files(container: Container) -> dict[str, str]:
    """Split → name of its csv, all in the folder of train.csv; in any case, also val or valid for validation."""
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
            raise InputError(f"{container.path}: both {found[split]} and {name} list the {split} images; keep one")
        found[split] = name
    return found


def _read_ids(container: Container, name: str, data: Data, labelled: bool = False) -> pd.DataFrame:
    """image_id, label, generator and group_name of one csv; None where an unlabelled one lacks the column."""
    table = read_table(container, name)
    shown = _shown(container, name)
    named = ("image_column", "label_column", "generator_column", "group_column")
    for key, column in ((key, getattr(data, key)) for key in named):
        if column is not None and column not in table.columns and (labelled or key == "image_column"):
            raise InputError(f"{shown} has no column '{column}' (data.{key}){suggestion(column, table.columns)}")
    if table.empty:
        raise InputError(f"{shown} has no rows")
    ids = table[data.image_column]
    if (ids == "").any():
        raise InputError(f"{shown}: {int((ids == '').sum())} row(s) without {data.image_column}; fill or delete them")
    unknown = pd.Series([None] * len(table), dtype=object)
    labels, generators, groups = (
        table[column].where(table[column] != "", None) if column in table.columns else unknown
        for column in (data.label_column, data.generator_column, data.group_column)
    )
    if labelled and labels.isna().any():
        lost = ids[labels.isna()].tolist()
        raise InputError(f"{shown}: {len(lost)} row(s) without {data.label_column}: {first_few(lost)}")
    columns = {"image_id": ids, "label": labels, "generator": generators, "group_name": groups}
    return pd.DataFrame(columns, dtype=object)


def _found(ids: pd.Series, split: str, images: list[str], prefix: str, shown: str) -> list[str | None]:
    """The file of each id, or None: in the split's own folder if there is one, else anywhere in the csv's folder.

    An id is a path or a name, with or without its extension; one with an extension also finds the same name with
    another (competitions re-encode their images and keep the ids).
    """
    own = {name for name in images if SPLIT_NAMES.get(name[len(prefix) :].partition("/")[0].lower()) == split}
    under = [(name, name[len(prefix) :].partition("/")[2]) for name in images if name in own]
    if not under:
        under = [(name, name[len(prefix) :]) for name in images]
    else:
        under += [(name, name[len(prefix) :]) for name in own]
    by: list[dict[str, str | set[str]]] = [{}, {}, {}, {}]
    for name, inside in under:
        file = inside.rpartition("/")[2]
        for lookup, key in zip(by, (inside, _stem(inside), file, _stem(file)), strict=True):
            first = lookup.setdefault(key, name)  # a set of one per key would double the memory
            if isinstance(first, set):
                first.add(name)
            elif first != name:
                lookup[key] = {first, name}
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
            f"{shown}: {len(ambiguous)} id(s) match more than one file: {first_few(ambiguous)}; "
            "add the extension or the folder to the id"
        )
    return paths


def _first_match(wanted: str, by: list[dict[str, str | set[str]]]) -> set[str]:
    for key, lookups in ((wanted, by), (_stem(wanted), by[1::2])):
        for lookup in lookups:
            found = lookup.get(key)
            if found is not None:
                return found if isinstance(found, set) else {found}
    return set()


def _require_one_of_each(rows: pd.DataFrame, container: Container) -> None:
    """An image may be listed twice, or in two csv files, but with one label, generator and group only."""
    for column, what in (("label", "labels"), ("generator", "generators"), ("group_name", "groups")):
        known = rows[rows[column].notna()]
        by_id = known.groupby(["split", "image_id"])[column].transform("nunique")
        by_file = known.groupby("path")[column].transform("nunique")  # NaN where there is no file
        ids = list(dict.fromkeys(known.loc[(by_id > 1) | (by_file > 1), "image_id"]))
        if ids:
            raise InputError(
                f"{container.path}: {len(ids)} duplicate image id(s) with two {what}: {first_few(ids)}; "
                "keep one row of each"
            )


# --- folder layout


def _folder_source(container: Container) -> Source:
    images = _images(container.names)
    if not images:
        raise InputError(f"{container.path} has no images (looked for {', '.join(sorted(EXTENSIONS))})")
    unread = unread_images(container.names)
    require_read_classes(images, unread, _top_of_folders([*images, *unread]), SPLIT_NAMES, container.path)
    prefix = _top_of_folders(images)
    rows = list(_folder_rows(images, prefix, container))
    has_splits = any(row.split for row in rows)
    outside_splits: dict[str, int] = {}
    if has_splits:
        for row in rows:
            if not row.split:
                folder = row.path[len(prefix) :].rpartition("/")[0].partition("/")[0] or "."
                outside_splits[folder] = outside_splits.get(folder, 0) + 1
        rows = [row for row in rows if row.split]
    loose = [row.path for row in rows if row.label is None and row.split != "test"]
    if loose:
        where = "a split's folder" if has_splits else "the source's top folder"
        raise InputError(
            f"{container.path}: {len(loose)} image(s) are directly in {where} instead of in a class folder: "
            f"{first_few(loose)}; move them into one"
        )
    table = pd.DataFrame(
        {
            "image_id": [row.path[len(prefix) :] for row in rows],
            "split": [row.split or "train" for row in rows],
            "label": [row.label for row in rows],
            "generator": [row.generator for row in rows],
            "group_name": None,
            "path": [row.path for row in rows],
        },
        columns=COLUMNS,
        dtype=object,
    )
    table = table.sort_values("split", key=lambda split: split.map(SPLITS.index), kind="stable", ignore_index=True)
    splits = [split for split in SPLITS if (table["split"] == split).any()]
    if "train" not in splits:
        raise InputError(f"{container.path} has a {splits[0]} folder but no train folder")
    not_taken = NotTaken(outside_splits, 0, _other_files(container.names, set()), count_by_extension(container.names))
    return Source(container, table, table.iloc[:0], splits, not_taken, form=None)


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


class _FolderRow(NamedTuple):
    """An image by its folders: split None outside the splits, label None outside a class, generator None by default."""

    path: str
    split: str | None
    label: str | None
    generator: str | None


def _folder_rows(images: list[str], prefix: str, container: Container) -> Iterator[_FolderRow]:
    """Every image, by splits of classes, generators of splits, or only classes."""
    inside = [name[len(prefix) :].split("/")[:-1] for name in images]
    places: Sequence[int | None] = [0 if each and each[0].lower() in SPLIT_NAMES else None for each in inside]
    generators: dict[str, str] = {}
    if not any(place == 0 for place in places):
        places = generator_splits(inside, SPLIT_NAMES, container.path)
        generators = generator_names([each[0] for each, place in zip(inside, places, strict=True) if place is not None])
    for name, folders, place in zip(images, inside, places, strict=True):
        split = None if place is None else SPLIT_NAMES[folders[place].lower()]
        classes = folders if place is None else folders[place + 1 :]
        yield _FolderRow(name, split, classes[0] if classes else None, generators.get(folders[0]) if folders else None)


# --- both


def _require_classes(source: Source, data: Data) -> None:
    rows = source.rows
    known = classes_of(rows.loc[rows["split"] == "train", "label"])
    if len(known) < 2:
        raise InputError(f"{source.container.path}: train has only one class, '{known[0]}'; it needs at least two")
    for split in ("validation", "test"):
        labelled = rows[(rows["split"] == split) & rows["label"].notna()]
        foreign = labelled[~labelled["label"].isin(known)]
        if len(foreign):
            names = classes_of(foreign["label"])
            raise InputError(
                f"{source.container.path}: {split} has {len(foreign)} image(s) of {len(names)} class(es) that train "
                f"does not have: {first_few(names)}{suggestion(names[0], known)} "
                f"(images: {first_few(foreign['image_id'], 3)})"
            )
    real_classes(data.real_classes, known, class_names(data, known))


def _other_files(names: list[str], tables: set[str | None]) -> int:
    """How many files are neither images nor `tables`, which are read."""
    return sum(_stem(name) == name and name not in tables for name in names)


def _file(name: str) -> str:
    return name.rpartition("/")[2]


def _images(names: list[str]) -> list[str]:
    return [name for name in names if _stem(name) != name]


def _stem(name: str) -> str:
    """The name without its extension, if that is one of an image."""
    dot = name.rfind(".")
    return name[:dot] if dot > 0 and name[dot:].lower() in EXTENSIONS else name


def _shown(container: Container, name: str) -> str:
    return str(container.path / name)
