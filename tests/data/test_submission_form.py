import pytest

from fakeprint.data.containers import open_container
from fakeprint.data.submission_form import submission_form
from fakeprint.errors import InputError


def form(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return submission_form(open_container(tmp_path), name, "image_id", "label", [])


def test_test_images_themselves_where_no_csv_says(tmp_path):
    frame = submission_form(open_container(tmp_path), None, "image_id", "label", ["b", "a"])
    assert frame.to_csv(index=False) == "image_id,label\nb,\na,\n"


def test_images_that_were_not_sampled_are_left_out(tmp_path):
    (tmp_path / "test.csv").write_text("image_id,label\na,0\nb,1\nc,0\n")
    (tmp_path / "sample_submission.csv").write_text("label,image_id\n0,c\n0,b\n0,other\n")
    of_sample, of_test = (
        submission_form(open_container(tmp_path), name, "image_id", "label", ["b"], {"a", "c"}).to_csv(index=False)
        for name in ("sample_submission.csv", "test.csv")
    )
    assert of_sample == "label,image_id\n0,b\n0,other\n"
    assert of_test == "image_id,label\nb,\n"


def test_column_that_is_not_there(tmp_path):
    with pytest.raises(
        InputError, match=r"sample_submission\.csv has no column 'label' \(its columns: image_id, class\); set"
    ):
        form(tmp_path, "sample_submission.csv", "image_id,class\na,0\n")


def test_damaged_sample(tmp_path):
    with pytest.raises(InputError, match=r"sample_submission\.csv cannot be read as CSV: No columns to parse"):
        form(tmp_path, "sample_submission.csv", "")
