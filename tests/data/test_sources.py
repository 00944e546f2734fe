import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakeprint.data.sources import NotTaken, Source, class_names, classes_of, open_source
from fakeprint.data.validation import not_taken_lines
from fakeprint.errors import InputError
from fakeprint.params import Data

SUFFIXES = (".zip", ".tar", ".tar.gz")


def data(path: Path, **options: Any) -> Data:
    return Data(**{"title": "test", "path": str(path), "layout": "csv", **options})


def message(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as raised:
        open_source(data(path, **options))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def counts(source: Source) -> dict[tuple[str, str | None], int]:
    return {key: len(part) for key, part in source.rows.groupby(["split", source.rows["label"].fillna("-")])}


def test_csv_layout(csv_folder: Path) -> None:
    source = open_source(data(csv_folder))
    assert counts(source) == {
        ("train", "a"): 6,
        ("train", "b"): 6,
        ("validation", "a"): 2,
        ("validation", "b"): 2,
        ("test", "-"): 3,
    }
    assert source.rows.iloc[0].to_dict() == {
        "image_id": "train00",
        "split": "train",
        "label": "a",
        "generator": None,
        "group_name": None,
        "path": "train/train00.png",
    }
    assert source.splits == ["train", "validation", "test"]


def test_csv_columns_extensions_and_spellings(tmp_path: Path, save: Callable[..., Path]) -> None:
    for number, name in enumerate(["train/a.jpg", "train/b.v2.WEBP", "train/c.tif", "train/deep/d.png", "Valid/e.gif"]):
        save(tmp_path / name, number)
    (tmp_path / "Train.csv").write_text("\ufefffile, kind\na.png,0\nb.v2,007\ntrain/c.tif,0\ndeep/d,1\n", "utf-8")
    (tmp_path / "val.csv").write_text("file,kind\ne.gif,1\n")
    rows = open_source(data(tmp_path, image_column="file", label_column="kind")).rows
    assert rows["path"].tolist() == ["train/a.jpg", "train/b.v2.WEBP", "train/c.tif", "train/deep/d.png", "Valid/e.gif"]
    assert rows["label"].tolist() == ["0", "007", "0", "1", "1"]


def test_one_folder_of_images_for_all_splits(tmp_path: Path, save: Callable[..., Path]) -> None:
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png", number)
    (tmp_path / "train.csv").write_text("image_id,label\n0,x\n1,y\n")
    (tmp_path / "test.csv").write_text("image_id\n2\n")
    assert open_source(data(tmp_path)).rows["path"].tolist() == ["images/0.png", "images/1.png", "images/2.png"]


@pytest.mark.parametrize(
    "names", [("Train", "VAL", "Test"), ("train", "valid", "test"), ("TRAIN", "Validation", "TEST")]
)
def test_folders_with_splits(tmp_path: Path, save: Callable[..., Path], names: tuple[str, str, str]) -> None:
    number = 0
    for split in names:
        for label in ("Real", "Fake"):
            save(tmp_path / split / label / "sub" / "x.png", number)
            number += 1
    (tmp_path / "readme.txt").write_text("no image")
    source = open_source(data(tmp_path, layout="folders"))
    assert source.splits == ["train", "validation", "test"]
    assert counts(source) == {(split, label): 1 for split in source.splits for label in ("Real", "Fake")}
    assert source.rows["image_id"][0] == f"{names[0]}/Fake/sub/x.png"
    assert source.not_taken == NotTaken({}, 0, 1)


def test_folders_without_splits_and_unlabelled_test(tmp_path: Path, save: Callable[..., Path]) -> None:
    for number, name in enumerate(["cats/1.png", "cats/2.png", "dogs/1.png"]):
        save(tmp_path / "plain" / name, number)
        save(tmp_path / "half" / "train" / name, number)
    save(tmp_path / "half" / "test" / "9.png", 9)
    plain = open_source(data(tmp_path / "plain", layout="folders"))
    assert plain.splits == ["train"]
    assert counts(plain) == {("train", "cats"): 2, ("train", "dogs"): 1}
    half = open_source(data(tmp_path / "half", layout="folders"))
    assert counts(half) == {("train", "cats"): 2, ("train", "dogs"): 1, ("test", "-"): 1}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archives_hold_what_folders_hold(csv_folder: Path, pack: Callable[..., Path], suffix: str) -> None:
    folder, archive = open_source(data(csv_folder)), open_source(data(pack(csv_folder, suffix)))
    assert archive.rows["path"].tolist() == [f"top/{path}" for path in folder.rows["path"]]
    assert archive.rows.drop(columns="path").equals(folder.rows.drop(columns="path"))
    wanted = archive.rows["path"].tolist()
    found = {}
    for batch in archive.container.batches(wanted, 4, 10**6):
        found.update(zip(batch.rows, batch.read(), strict=True))
    for row, path in enumerate(folder.rows["path"]):
        assert found[row] == folder.container.read(path, 10**6) == archive.container.read(wanted[row], 10**6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_class_folders_in_archives(
    tmp_path: Path, save: Callable[..., Path], pack: Callable[..., Path], suffix: str
) -> None:
    for number, name in enumerate(["Real/1.png", "Fake/2.png"]):
        save(tmp_path / "faces" / name, number)
    rows = open_source(data(pack(tmp_path / "faces", suffix), layout="folders")).rows
    assert rows[["image_id", "label"]].to_numpy().tolist() == [["Fake/2.png", "Fake"], ["Real/1.png", "Real"]]


@pytest.mark.parametrize("name", ["/etc/evil.png", "../evil.png", "a/../../evil.png", "C:\\evil.png", "..\\evil.png"])
def test_members_that_point_outside_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"x")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    for file in ("bad.zip", "bad.tar.gz"):
        text = message(tmp_path / file)
        assert "1 member(s) that point outside it or are links" in text
        assert name in text


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("train/a.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo(f"train/a{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    assert "1 member(s)" in message(tmp_path / "bad.zip")
    assert "2 member(s) that point outside it or are links: train/a2.png, train/a1.png" in message(tmp_path / "bad.tar")


def test_bad_paths_and_archives(tmp_path: Path) -> None:
    assert message(tmp_path / "none") == f"data.path: {tmp_path / 'none'} does not exist"
    (tmp_path / "a.rar").write_bytes(b"x")
    assert "neither a folder nor a .zip, .tar or .tar.gz" in message(tmp_path / "a.rar")
    for name in ("b.zip", "b.tar", "b.tar.gz"):
        (tmp_path / name).write_bytes(b"no archive, " * 100)
        assert "cannot be read as an archive" in message(tmp_path / name)


def test_empty_sources(tmp_path: Path) -> None:
    assert "has no images" in message(tmp_path, layout="folders")
    assert message(tmp_path) == f"{tmp_path}: train.csv is missing"
    (tmp_path / "train.csv").write_text("image_id,label\n")
    assert message(tmp_path).endswith("train.csv has no rows")
    (tmp_path / "train.csv").write_text("")
    assert "cannot be read as CSV" in message(tmp_path)


def test_csv_layout_on_class_folders_names_the_other_layout(tmp_path: Path, save: Callable[..., Path]) -> None:
    save(tmp_path / "a" / "1.png", 1)
    assert "train.csv is missing; for folders of classes set data.layout to folders" in message(tmp_path)


def test_tables_that_are_none_are_one_line_and_read_up_to_a_limit(csv_folder: Path, pack: Callable[..., Path]) -> None:
    with (csv_folder / "train.csv").open("wb") as file:
        file.truncate(5 * 2**30)
    assert message(csv_folder).endswith("train.csv cannot be read: too large (more than 256 MiB)")
    (csv_folder / "train.csv").write_text("image_id,label,label \na,0,1\n")
    assert message(csv_folder).endswith("train.csv has two columns 'label'; rename or delete one")
    (csv_folder / "train.csv").write_text("," * (2**20 + 1))
    for path in (csv_folder, pack(csv_folder, ".tar.gz"), pack(csv_folder, ".zip")):
        assert message(path).endswith("train.csv is not a CSV file: its first line has no line break")
    (csv_folder / "train.csv").unlink()
    os.mkfifo(csv_folder / "train.csv")
    assert message(csv_folder).endswith("train.csv cannot be read: not a regular file")


def test_rows_with_more_cells_than_headings(csv_folder: Path) -> None:
    table = csv_folder / "train.csv"
    whole = open_source(data(csv_folder)).rows
    header, first, *rest = table.read_text().splitlines()
    ending_in_commas = [f"{line}, ," for line in (first, *rest)]
    table.write_text("\n".join(["", header, *ending_in_commas, ""]))
    assert open_source(data(csv_folder)).rows.equals(whole)
    table.write_text("\n".join([header, f"a photo, {first}", *rest]))
    assert message(csv_folder).endswith(
        "train.csv, line 2: 3 cells for 2 headings; put text that contains a comma in double quotes"
    )
    table.write_text("\n".join([header, *ending_in_commas[:4], "a,b,c", *ending_in_commas[4:]]))
    assert "train.csv, line 6: 3 cells for 2 headings; put" in message(csv_folder)
    table.write_text("\n".join([header, first, "a,b,c", *rest]))
    assert "train.csv cannot be read as CSV: Error tokenizing data. C error: Expected 2 fields in line 3, saw 3" in (
        message(csv_folder)
    )


def test_missing_column(csv_folder: Path) -> None:
    text = message(csv_folder, label_column="labels")
    assert "train.csv has no column 'labels' (data.label_column); did you mean 'label'?" in text
    assert "no column 'file' (data.image_column)" in message(csv_folder, image_column="file")


def test_empty_cells(csv_folder: Path) -> None:
    table = csv_folder / "train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, "extra,"]))
    assert "1 row(s) without label: extra" in message(csv_folder)
    table.write_text("\n".join([*lines, ",a"]))
    assert "1 row(s) without image_id" in message(csv_folder)


def test_duplicate_id_with_two_labels(csv_folder: Path) -> None:
    with (csv_folder / "train.csv").open("a") as file:
        file.write("train00,b\ntrain02,b\ntrain01,b\n")
    assert "2 duplicate image id(s) with two labels: train00, train02" in message(csv_folder)


def test_repeated_rows_are_kept_once(csv_folder: Path) -> None:
    with (csv_folder / "train.csv").open("a") as file:
        file.write("train00,a\n")
    source = open_source(data(csv_folder))
    assert source.repeated["image_id"].tolist() == ["train00"]
    assert (source.rows["image_id"] == "train00").sum() == 1


def test_unknown_class_in_validation(csv_folder: Path) -> None:
    table = csv_folder / "validation.csv"
    table.write_text(table.read_text().replace(",b", ",A"))
    text = message(csv_folder)
    assert "validation has 2 image(s) of 1 class(es) that train does not have: A" in text
    assert "(images: validation01, validation03)" in text


def test_test_id_without_file(csv_folder: Path) -> None:
    with (csv_folder / "test.csv").open("a") as file:
        file.writelines(f"lost{number}\n" for number in range(7))
    assert "7 test id(s) without file: lost0, lost1, lost2, lost3, lost4, … (7 in all)" in message(csv_folder)


def test_the_sample_submission_names_the_test_images_where_no_test_csv_does(csv_folder: Path) -> None:
    with_table = open_source(data(csv_folder))
    assert with_table.form == "test.csv"
    (csv_folder / "test.csv").unlink()
    (csv_folder / "Sample_Submission.csv").write_text("image_id,label\ntest00,a\ntest01.jpg,a\ntest02,a\n")
    source = open_source(data(csv_folder))
    assert source.form == "Sample_Submission.csv"
    assert source.splits == with_table.splits
    assert source.rows["path"].equals(with_table.rows["path"])
    assert source.rows.loc[source.rows["split"] == "test", "label"].tolist() == [None] * 3
    assert source.not_taken == NotTaken({}, 0, 0)
    (csv_folder / "test/test01.png").unlink()
    assert message(csv_folder).endswith(
        "Sample_Submission.csv: 1 test id(s) without file: test01.jpg; add the files or remove the ids, or the csv"
    )


def test_the_form_is_the_sample_submission_with_the_shortest_path(csv_folder: Path, pack: Callable[..., Path]) -> None:
    for name in ("sample_submission.csv", "test/sample_submission.csv"):
        (csv_folder / name).write_text("image_id,label\ntest00,a\n")
    assert open_source(data(pack(csv_folder, ".zip"))).form == "top/sample_submission.csv"


def test_tables_among_class_folders_are_other_files(tmp_path: Path, save: Callable[..., Path]) -> None:
    for number, name in enumerate(["a/1.png", "b/2.png"]):
        save(tmp_path / name, number)
    for name in ("test.csv", "sample_submission.csv"):
        (tmp_path / name).write_text("id\n9\n")
    source = open_source(data(tmp_path, layout="folders"))
    assert source.form is None
    assert source.not_taken == NotTaken({}, 0, 2)


@pytest.mark.parametrize("top", ["", "photos/"])
@pytest.mark.parametrize(
    ("read", "unread", "named"),
    [
        (("a/1.png", "b/2.png"), "c/deep/3.AVIF", "c (.avif)"),
        (("a/deep/1.png", "a/deep/2.png"), "b/3.heic", "b (.heic)"),
        (("train/a/1.png", "train/b/2.png", "test/a/3.png"), "test/b/4.avif", "test/b (.avif)"),
        (("train/a/1.png", "train/b/2.png"), "Test/4.jxl", "Test (.jxl)"),
        (("gan/train/a/1.png", "gan/train/b/2.png", "sd/train/a/3.png"), "sd/train/b/x/4.avif", "sd/train/b (.avif)"),
    ],
)
def test_class_folders_of_formats_that_are_not_read(
    tmp_path: Path, save: Callable[..., Path], top: str, read: tuple[str, ...], unread: str, named: str
) -> None:
    for number, name in enumerate(read):
        save(tmp_path / top / name, number)
    drawn = save(tmp_path / top / f"{unread}.png", 90)
    drawn.rename(drawn.with_suffix(""))
    assert message(tmp_path, layout="folders") == (
        f"{tmp_path}: 1 folder(s) hold only images of formats that are not read: {top}{named}; convert them, for "
        "example to PNG (read are PNG, JPEG, WebP, BMP, TIFF and GIF), or remove them"
    )


def test_images_of_formats_that_are_not_read_among_others_are_counted(
    tmp_path: Path, save: Callable[..., Path]
) -> None:
    for number, name in enumerate(["train/a/1.png", "train/b/2.png"]):
        save(tmp_path / name, number)
    for name in ("train/a/3.avif", "train/a/4.AVIF", "extra/5.heic", "logo.tga", "readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not opened")
    not_taken = open_source(data(tmp_path, layout="folders")).not_taken
    assert not_taken == NotTaken({}, 0, 5, {".avif": 2, ".heic": 1, ".tga": 1})
    assert not_taken_lines(not_taken) == [
        "5 other file(s) of the source are not used",
        "4 of them are images of formats that are not read: .avif (2), .heic (1), .tga (1); convert them, for example "
        "to PNG, if they belong to the data",
    ]


def test_id_that_fits_two_files(csv_folder: Path, save: Callable[..., Path]) -> None:
    save(csv_folder / "train" / "train00.jpg", 50)
    assert "1 id(s) match more than one file: train00" in message(csv_folder)


def test_folder_mistakes(tmp_path: Path, save: Callable[..., Path]) -> None:
    save(tmp_path / "one" / "a" / "1.png", 1)
    save(tmp_path / "loose" / "train" / "1.png", 1)
    save(tmp_path / "loose" / "train" / "a" / "1.png", 1)
    save(tmp_path / "noTrain" / "test" / "a" / "1.png", 1)
    assert "train has only one class, 'a'" in message(tmp_path / "one", layout="folders")
    assert "1 image(s) are directly in a split's folder instead of in a class folder" in message(
        tmp_path / "loose", layout="folders"
    )
    assert "has a test folder but no train folder" in message(tmp_path / "noTrain", layout="folders")


def test_two_csv_files_of_one_split(csv_folder: Path) -> None:
    (csv_folder / "val.csv").write_text("image_id,label\n")
    assert "both val.csv and validation.csv list the validation images" in message(csv_folder)


def test_classes_and_their_names(tmp_path: Path) -> None:
    assert classes_of(["10", "2", "2", "1"]) == ["1", "2", "10"]
    assert classes_of(["b", "10", "a"]) == ["10", "a", "b"]
    assert class_names(data(tmp_path, class_names={0: "StyleGAN"}), ["0", "1"]) == ["StyleGAN", "1"]
    with pytest.raises(InputError, match=r"data.class_names: the source has no class 'Rael'; did you mean 'Real'\?"):
        class_names(data(tmp_path, class_names={"Rael": "photograph"}), ["Fake", "Real"])
    with pytest.raises(InputError, match=r"data.class_names: 2 classes would have the name 'Real': Fake, Real"):
        class_names(data(tmp_path, class_names={"Fake": "Real"}), ["Fake", "Real"])


def test_groups_and_generators_of_a_csv(csv_folder: Path) -> None:
    for split in ("train", "validation"):
        lines = (csv_folder / f"{split}.csv").read_text().splitlines()
        lines[0] += ",video,made_by"
        lines[1:] = [
            f"{line},{('v1', '', 'v2')[row % 3]},{('sd', 'gan')[row % 2]}" for row, line in enumerate(lines[1:])
        ]
        (csv_folder / f"{split}.csv").write_text("\n".join(lines).replace(",b,", ",Real,"))
    source = open_source(data(csv_folder, group_column="video", generator_column="made_by"))
    rows = source.rows
    assert rows["group_name"].tolist() == ["v1", None, "v2"] * 4 + ["v1", None, "v2", "v1"] + [None] * 3
    assert rows["generator"].tolist() == ["sd", "gan"] * 8 + [None] * 3
    text = message(csv_folder, group_column="vidoe")
    assert "train.csv has no column 'vidoe' (data.group_column); did you mean 'video'?" in text
    text = message(csv_folder, generator_column="madeby")
    assert "train.csv has no column 'madeby' (data.generator_column); did you mean 'made_by'?" in text
    with (csv_folder / "train.csv").open("a") as file:
        file.write("\ntrain00,a,v2,sd\ntrain02,a,v2,gan")
    options = {"group_column": "video", "generator_column": "made_by"}
    assert "1 duplicate image id(s) with two generators: train02" in message(csv_folder, **options)
    assert "1 duplicate image id(s) with two groups: train00" in message(csv_folder, group_column="video")


def test_test_images_may_be_labelled_in_part(csv_folder: Path) -> None:
    (csv_folder / "test.csv").write_text("image_id,label\ntest00,b\ntest01,\n")
    rows = open_source(data(csv_folder)).rows
    assert rows.loc[rows["split"] == "test", "label"].tolist() == ["b", None]


def test_a_validation_csv_without_the_group_column(csv_folder: Path) -> None:
    table = csv_folder / "train.csv"
    table.write_text(
        "\n".join(f"{line},{'video' if line.startswith('image') else 'v'}" for line in table.open().read().split())
    )
    assert "validation.csv has no column 'video' (data.group_column)" in message(csv_folder, group_column="video")


def genimage(root: Path, save: Callable[..., Path], *folders: str) -> Path:
    """One image of each class in each split of each generator's folder; the same file names everywhere."""
    number = 0
    for folder in folders:
        for name in ("train/ai/000.png", "train/nature/n01.png", "val/ai/001.png", "val/nature/n02.png"):
            save(root / folder / name, number)
            number += 1
    return root


@pytest.mark.parametrize("archived", [False, True])
def test_generator_folders(
    tmp_path: Path, save: Callable[..., Path], pack: Callable[..., Path], archived: bool
) -> None:
    root = genimage(tmp_path / "GenImage", save, "BigGAN", "Stable Diffusion V1.4")
    source = open_source(data(pack(root, ".zip") if archived else root, layout="folders"))
    assert source.splits == ["train", "validation"]
    assert counts(source) == {(split, label): 2 for split in source.splits for label in ("ai", "nature")}
    made_by = source.rows.groupby("label")["generator"].agg(list).to_dict()
    assert made_by == {label: ["BigGAN", "Stable Diffusion V1.4"] * 2 for label in ("ai", "nature")}
    assert source.rows["image_id"].is_unique
    assert source.rows["image_id"][0] == "BigGAN/train/ai/000.png"


def test_generator_folders_as_they_come_from_the_archives(tmp_path: Path, save: Callable[..., Path]) -> None:
    folders = [
        "Midjourney/imagenet_midjourney",
        "imagenet_ai_0419_biggan",
        "imagenet_ai_0419_sdv4",
        "imagenet_ai_0424_sdv4",
    ]
    rows = open_source(data(genimage(tmp_path, save, *folders), layout="folders")).rows
    assert sorted(rows["generator"].unique()) == [
        "Midjourney",
        "biggan",
        "imagenet_ai_0419_sdv4",  # two would be called sdv4
        "imagenet_ai_0424_sdv4",
    ]
    assert rows["label"].value_counts().to_dict() == {"ai": 8, "nature": 8}


def test_folders_that_may_be_generators_or_classes(tmp_path: Path, save: Callable[..., Path]) -> None:
    fix = "; use GENERATOR/train/CLASS/ for every generator, or train/CLASS/, or rename the folder"
    for name in ("vehicles/train/1.png", "vehicles/2.png", "faces/3.png"):
        save(tmp_path / "some" / name, 1)
    text = message(tmp_path / "some", layout="folders")
    assert (
        text == f"{tmp_path / 'some'}: vehicles/train looks like a split of a generator, but faces has no splits{fix}"
    )
    for name in ("Fake/train/1.png", "Fake/test/2.png", "Real/train/3.png", "Real/test/4.png"):
        save(tmp_path / "classes" / name, 1)
    text = message(tmp_path / "classes", layout="folders")
    assert text.endswith(f"looks like a split of a generator, but Real is the name of a class{fix}")
    for name in ("a/train/1.png", "b/train/2.png"):
        save(tmp_path / "loose" / name, 1)
    assert "2 image(s) are directly in a split's folder instead of in a class folder" in message(
        tmp_path / "loose", layout="folders"
    )
