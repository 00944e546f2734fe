"""The page Verdict with images of a data set that the API holds."""

import csv
import io
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from fakeprint.service.app import stored_images, verdict, words
from tests.service.app import fake_api
from tests.service.app.conftest import Opener
from tests.service.app.fake_api import World
from tests.service.app.test_verdict import html, markdown

ID = "0123456789abcdef" * 2


def opened(world: World, page: Opener, address: str = ID) -> AppTest:
    world.dataset(ID)
    app = page("verdict")
    app.radio(key="where").set_value(verdict.STORED).run()
    app.text_input(key="address").set_value(address).run()
    assert not app.exception
    return app


def field(app: AppTest, kind: str, label: str) -> Any:
    return next(each for each in getattr(app, kind) if each.label == label)


def test_one_image_of_a_data_set_gets_its_verdict(world: World, page: Opener) -> None:
    app = opened(world, page, f"{world.url}/datasets/{ID}")
    assert field(app, "selectbox", "Split").options == ["train (140 images)", "test (10 images)"]
    assert "The data set says: **a**" in markdown(app) and "fp-label" in html(app)
    assert world.requests == [("image", 0), ("predict", (["0.png"], True, True))]
    field(app, "number_input", "List images from number").set_value(101).run()
    field(app, "selectbox", "Image").set_value(139).run()
    assert world.requests[-1] == ("predict", (["139.png"], True, True))
    field(app, "selectbox", "Split").set_value("test").run()
    assert world.requests[-1] == ("predict", (["140.png"], True, True))
    assert app.query_params["dataset"] in (ID, [ID])


@pytest.mark.slow
def test_the_first_images_make_a_table_with_the_labels_of_the_data_set(world: World, page: Opener) -> None:
    world.answers = {"2.png": "unsure"}
    app = opened(world, page)
    field(app, "radio", "Which images").set_value(stored_images.SEVERAL).run()
    field(app, "number_input", "How many").set_value(4).run()
    assert app.subheader[0].value == "4 images: 3 answered, 1 unsure"
    assert r"1 of 3 answers name the class that the data set says\." in markdown(app)
    assert list(app.dataframe[0].value["in the data set"]) == ["camera", "generator b", "generator c", "camera"]
    asked = len(world.requests)
    field(app, "selectbox", "Show the details of").set_value(1).run()
    assert world.requests[asked:] == [("predict", (["1.png"], True, True))]  # files and answers are not asked for again


def test_an_address_of_an_image_shows_that_image_and_can_be_passed_on(world: World, page: Opener) -> None:
    world.dataset(ID)
    app = page("verdict", dataset=f"{ID}/images/7")
    assert app.radio(key="where").value == verdict.STORED
    assert world.requests == [("image", 7), ("predict", (["7.png"], True, True))]
    app.radio(key="where").set_value(verdict.UPLOADED).run()
    assert "dataset" not in app.query_params


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (ID, (ID, None)),
        (f" https://host:1/x/datasets/{ID}/ ", (ID, None)),
        (f"/datasets/{ID}/images", (ID, None)),
        (f"/datasets/{ID}/images/12", (ID, 12)),
        (f"{ID}x", None),
        (f"/jobs/{ID}", None),
        (f"../../{ID}", None),
        ("9" * 5000, None),
    ],
)
def test_addresses_are_understood_or_refused(address: str, place: Any) -> None:
    assert stored_images.parsed(address) == place


def test_a_bad_address_and_a_missing_data_set_are_reported(world: World, page: Opener) -> None:
    app = opened(world, page, "my data")
    said = "my data is no address of a data set: it ends in /datasets/ and 32 characters, 0–9 and a–f."
    assert app.warning[0].value == said
    app.text_input(key="address").set_value("f" * 32).run()
    assert app.error[0].value == r"there is no such data set; \`GET /datasets\` lists yours"
    assert [kind for kind, _ in world.requests] == []


def test_the_csv_has_the_labels_of_the_data_set(world: World) -> None:
    world.answers = {"b.png": "unreadable"}
    images = [fake_api._answer(world, name, False, True).model_dump() for name in ("a.png", "b.png")]
    lines = list(csv.DictReader(io.StringIO(verdict.as_csv(images, ["b", None]).decode("utf-8-sig"))))
    assert [line["data_set_label"] for line in lines] == ["b", ""]
    assert words.agreement(images, ["b", None]) == "1 of 1 answers name the class that the data set says."
