import pytest

from tests.service.app.conftest import Opener
from tests.service.app.fake_api import World, job
from tests.service.app.test_verdict import html


@pytest.mark.slow
def test_a_profile_is_shown_with_its_warnings(world: World, page: Opener) -> None:
    world.dataset()
    app = page("data")
    shown = html(app)
    assert "Images per class, train (90)" in shown and "64×64" in shown and "120.5 ± 60.0" in shown
    said = " ".join(each.value for each in app.warning)
    assert "A shortcut: file format alone tells 80 % of the classes" in said
    assert "Duplicates: exact\\: 2" in said and "damaged: 1" in said
    assert "train/1.png" in app.code[0].value


def test_a_data_set_is_sent_and_chosen(world: World, page: Opener) -> None:
    world.dataset("d1", "older")
    app = page("data")
    app.text_input[0].set_value("mine")
    app.file_uploader[0].set_value(("mine.zip", b"PK", "application/zip"))
    app.button[0].click().run()
    assert not app.exception
    assert app.success[0].value == r"mine is stored\: 90 images\."
    assert app.selectbox[0].value == "d2"


def test_without_an_archive_nothing_is_sent(world: World, page: Opener) -> None:
    app = page("data")
    assert "There is no data set yet" in app.info[0].value
    app.button[0].click().run()
    assert app.warning[0].value == "Choose an archive first." and not world.datasets


def test_a_refused_archive_is_one_line(world: World, page: Opener) -> None:
    app = page("data")
    app.file_uploader[0].set_value(("mine.zip", b"PK", "application/zip"))
    world.refusal = (422, "mine.zip: no images in it")
    app.button[0].click()
    app.run()
    assert any("no images in it" in each.value for each in app.error)


def test_a_data_set_is_deleted_once_the_box_is_ticked(world: World, page: Opener) -> None:
    world.dataset()
    app = page("data")
    assert app.button(key="delete-d1").disabled
    app.checkbox[0].check().run()
    app.button(key="delete-d1").click().run()
    assert not world.datasets and "drawn is deleted" in app.success[0].value


def test_a_data_set_in_use_stays(world: World, page: Opener) -> None:
    world.dataset()
    world.jobs["j1"] = job("j1")
    app = page("data")
    app.checkbox[0].check().run()
    app.button(key="delete-d1").click().run()
    assert world.datasets and app.error[0].value == "a job uses this data set; cancel it first"
