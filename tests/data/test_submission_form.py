import pytest

from fakeprint.data.containers import open_container
from fakeprint.data.submission_form import submission_form
from fakeprint.errors import InputError


def form(tmp_path, test_ids, **files):
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return submission_form(open_container(tmp_path), "image_id", "label", test_ids)


def test_test_images_themselves_where_no_csv_says(tmp_path):
    frame = form(tmp_path, ["b", "a"], train="image_id,label\na,1\n")
    assert frame.to_csv(index=False) == "image_id,label\nb,\na,\n"


def test_sample_in_a_folder_of_an_archive_like_source(tmp_path):
    (tmp_path / "unibuc").mkdir()
    frame = form(tmp_path / "unibuc", [], sample_submission="image_id,label\na,0\n")
    nested = submission_form(open_container(tmp_path), "image_id", "label", [])
    assert nested.equals(frame)


def test_column_that_is_not_there(tmp_path):
    with pytest.raises(
        InputError, match=r"sample_submission\.csv has no column 'label' \(its columns: image_id, class\); set"
    ):
        form(tmp_path, [], sample_submission="image_id,class\na,0\n")


def test_damaged_sample(tmp_path):
    with pytest.raises(InputError, match=r"sample_submission\.csv cannot be read as CSV: No columns to parse"):
        form(tmp_path, [], sample_submission="")
