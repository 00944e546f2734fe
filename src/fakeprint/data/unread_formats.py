"""Image files of formats that are not read (`fakeprint.data.decode` names those that are), by their extensions.

They are neither decoded nor set aside, so a class that consists of them would disappear.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from fakeprint.errors import InputError, first_few

READ = "PNG, JPEG, WebP, BMP, TIFF and GIF"
UNREAD = frozenset(
    {
        *(".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".jpf", ".jpx", ".jxr", ".qoi"),
        *(".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".dds", ".exr", ".hdr"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),  # of cameras
    }
)


def unread_images(names: Iterable[str]) -> list[str]:
    """The names of image files that are not read."""
    return [name for name in names if _extension(name) in UNREAD]


def count_by_extension(names: Iterable[str]) -> dict[str, int]:
    """How many of the files that are not read have each extension, in alphabetical order."""
    return dict(sorted(Counter(map(_extension, unread_images(names))).items()))


def require_read_classes(
    images: Sequence[str], unread: Sequence[str], top: str, split_names: Iterable[str], path: Path
) -> None:
    """Raises InputError if a class folder, or a split without class folders, holds only images that are not read.

    Args:
        images: names of images that are read.
        unread: names of images that are not.
        top: the folder that holds the splits or classes, empty or ending in a slash.
        split_names: lower-case names of folders that are splits.
        path: of the source.
    """
    splits = set(split_names)
    read = {folder for name in images for folder in _folders_above(name)}
    has_splits = any(PurePosixPath(folder).name.lower() in splits for folder in read)
    extensions: dict[str, set[str]] = {}
    for name in unread:
        folder = _class_folder(name, top, splits, has_splits)
        if folder and folder not in read:
            extensions.setdefault(folder, set()).add(_extension(name))
    if extensions:
        listed = first_few(f"{folder} ({', '.join(sorted(kinds))})" for folder, kinds in sorted(extensions.items()))
        raise InputError(
            f"{path}: {len(extensions)} folder(s) hold only images of formats that are not read: {listed}; convert "
            f"them, for example to PNG (read are {READ}), or remove them"
        )


def _class_folder(name: str, top: str, splits: set[str], has_splits: bool) -> str | None:
    """The class folder of a file, or that of its split; None outside both."""
    folders = name.removeprefix(top).split("/")[:-1]
    place = next((place for place, folder in enumerate(folders) if folder.lower() in splits), None)
    if not folders or (place is None and has_splits):
        return None
    return top + "/".join(folders[: 1 if place is None else place + 2])


def _folders_above(name: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(name).parents][:-1]


def _extension(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
