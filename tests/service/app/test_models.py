import pytest

from tests.service.app.conftest import Opener
from tests.service.app.fake_api import World, model


def test_the_table_has_accuracy_with_its_interval(world: World, page: Opener) -> None:
    world.models.append(model("bare", accuracy=None, source="registry", version="7", aliases=["champion"]))
    app = page("models")
    table = app.dataframe[0].value
    assert list(table["model"]) == ["first", "second", "bare"]
    assert list(table["accuracy (interval)"]) == ["94.4 % (93.0–95.6)"] * 2 + ["not measured"]
    assert list(table["answers now"]) == ["● yes", "", ""]
    assert app.success[0].value == "This model answers now."
    app.selectbox[0].set_value(2).run()
    assert not app.exception and "bare, version 7" in app.subheader[0].value


def test_a_model_is_made_to_answer(world: World, page: Opener) -> None:
    app = page("models")
    app.selectbox[0].set_value(1).run()
    app.button[0].click().run()
    assert "second answers from now on" in app.success[0].value
    assert [each.serves for each in world.models] == [False, True]
    assert world.requests[0][1]["expected_revision"] == 4  # type: ignore[index]


def test_a_change_by_someone_else_is_not_overwritten(world: World, page: Opener) -> None:
    app = page("models")
    app.selectbox[0].set_value(1).run()
    world.revision = 5
    app.button[0].click().run()
    assert "someone else has chosen another model" in app.warning[0].value
    assert "the revision is 5, not 4" in app.warning[0].value
    assert [each.serves for each in world.models] == [True, False]
    app.button[0].click().run()  # after a look at what is there now
    assert [each.serves for each in world.models] == [False, True]


def test_a_model_of_the_registry_is_named_by_its_version(world: World, page: Opener) -> None:
    world.models = [model("first", serves=True), model("second", source="registry", version="3")]
    app = page("models")
    app.selectbox[0].set_value(1).run()
    app.button[0].click().run()
    request = world.requests[0][1]
    assert (request["source"], request["version"]) == ("registry", "3")  # type: ignore[index]


@pytest.mark.parametrize("note", ["the registry does not answer"])
def test_the_page_says_what_is_missing(world: World, page: Opener, note: str) -> None:
    world.note, world.models = note, []
    app = page("models")
    assert note in app.warning[0].value and "There is no model yet" in app.info[0].value
