import pytest

from fakeprint.data.containers import open_container
from fakeprint.data.submission_form import submission_form
from fakeprint.errors import InputError
from fakeprint.evaluation import submission


def form(tmp_path, **file):
    [(name, text)] = file.items()
    (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return submission_form(open_container(tmp_path), f"{name}.csv", "image_id", "label", [])


def filled(frame, labels, set_aside=None):
    return submission.filled(frame, "image_id", "label", labels, set_aside or {}).to_csv(index=False)


def test_order_and_header_are_the_sample_s(tmp_path):
    frame = form(tmp_path, sample_submission="label,image_id\n0,b\n0,a\n")
    assert filled(frame, {"a": "StyleGAN", "b": "2"}) == "label,image_id\n2,b\nStyleGAN,a\n"


def test_test_csv_where_there_is_no_sample(tmp_path):
    frame = form(tmp_path, test="source,image_id\nx,007\ny,a\n")
    assert filled(frame, {"a": "1", "007": "0"}) == "image_id,label\n007,0\na,1\n"


def test_missing_ids_are_named(tmp_path):
    frame = form(tmp_path, sample_submission="image_id,label\na,0\nb,0\nc,0\n")
    with pytest.raises(
        InputError, match=r"needs images that the test split does not have: b, c; add them, or remove their"
    ):
        filled(frame, {"a": "1"})


def test_extra_ids_are_named(tmp_path):
    frame = form(tmp_path, sample_submission="image_id,label\na,0\n")
    with pytest.raises(
        InputError, match=r"the test split has images that the sample submission does not have: d; add their ids"
    ):
        filled(frame, {"a": "1", "d": "1"})


def test_set_aside_test_images_are_named_with_their_reason(tmp_path):
    frame = form(tmp_path, sample_submission="image_id,label\na,0\nb,0\n")
    with pytest.raises(InputError, match=r"needs test images that were set aside: b \(truncated\); fix the files"):
        filled(frame, {"a": "1"}, {"b": "truncated"})


def test_many_ids_are_counted(tmp_path):
    frame = form(tmp_path, sample_submission="image_id,label\n" + "".join(f"{n},0\n" for n in range(8)))
    with pytest.raises(InputError, match=r"does not have: 0, 1, 2, 3, 4, … \(8 in all\); add"):
        filled(frame, {})
