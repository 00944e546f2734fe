import csv
import io
import struct

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from fakeprint.data import decode
from fakeprint.service.app import verdict
from fakeprint.service.app.verdict import BATCH_BYTES, BATCH_IMAGES
from tests.service.app import fake_api
from tests.service.app.conftest import Opener
from tests.service.app.fake_api import World, model


def upload(*names: str) -> list[tuple[str, bytes, str]]:
    return [(name, fake_api.png(number), "image/png") for number, name in enumerate(names)]


def html(app) -> str:
    return " ".join(each.proto.body for each in app.get("html"))


def markdown(app) -> str:
    return " ".join(each.value for each in app.markdown)


def test_one_image_gets_a_verdict_bars_a_set_evidence_and_a_map(world: World, page: Opener) -> None:
    app = page("verdict")
    assert "first" in markdown(app) and "drawn data" in markdown(app)
    app.file_uploader(key="images").set_value(upload("photo.png")).run()
    assert not app.exception
    shown = html(app)
    assert "generator b" in shown and "97.0 %" in shown and "Calibrated probability" in shown
    assert "**Classes not excluded:** generator b" in markdown(app)
    assert r"made by \<b\>Tool\</b\>" in markdown(app) and "anyone can write this" in markdown(app)
    assert "SynthID" in markdown(app)
    assert app.toggle[0].label == "Show what the answer rests on"
    assert world.requests == [("predict", (["photo.png"], True, True))]
    assert any("no proof" in each.value for each in app.info)

    app.toggle[0].set_value(False).run()  # drawn anew without asking the API again
    assert len(world.requests) == 1


@pytest.mark.parametrize(
    ("kind", "said"), [("unsure", "Not sure enough to answer"), ("unknown", "None of the known classes")]
)
def test_an_image_without_a_label_is_shown_as_such(world: World, page: Opener, kind: str, said: str) -> None:
    world.answers["photo.png"] = kind
    app = page("verdict")
    app.file_uploader(key="images").set_value(upload("photo.png")).run()
    assert said in html(app) and f"fp-{kind}" in html(app)
    if kind == "unknown":
        assert "**Classes not excluded:** No class fits well\\." in markdown(app)
        assert "a classifier has no map" in " ".join(each.value for each in app.caption)


def test_several_images_make_a_table_and_one_of_them_can_be_chosen(world: World, page: Opener) -> None:
    world.answers = {"b.png": "unsure", "c.png": "unreadable"}
    app = page("verdict")
    app.file_uploader(key="images").set_value(upload("a.png", "b.png", "c.png")).run()
    assert not app.exception
    assert app.subheader[0].value == "3 images: 1 answered, 1 unsure, 1 not readable"
    assert list(app.dataframe[0].value["answer"]) == ["◆ generator b", "? Unsure", "× Not readable"]
    asked = [request for _, request in world.requests]
    assert asked == [(["a.png", "b.png", "c.png"], False, True), (["a.png"], True, True)]
    app.selectbox[0].set_value(2).run()
    assert "image file is truncated" in html(app)
    assert app.get("download_button")


def test_the_csv_has_a_line_per_image_and_no_formula(world: World) -> None:
    world.answers = {"=1+2.png": "unreadable"}
    images = [fake_api._answer(world, name, False, True).model_dump() for name in ("a.png", "=1+2.png")]
    lines = list(csv.DictReader(io.StringIO(verdict.as_csv(images, [None, None]).decode("utf-8-sig"))))
    assert [line["answer"] for line in lines] == ["label", "unreadable"]
    assert lines[0]["set"] == '["b"]' and float(lines[0]["p_b"]) == 0.97
    assert lines[0]["evidence"] == "made by <b>Tool</b>"
    assert lines[1]["image"] == "'=1+2.png" and lines[1]["reason"] == "damaged: image file is truncated"


class Sized:
    def __init__(self, size: int) -> None:
        self.size = size


def test_a_request_stays_small() -> None:
    many = list(verdict.parts([Sized(1)] * (2 * BATCH_IMAGES + 1)))
    assert [len(part) for part in many] == [BATCH_IMAGES, BATCH_IMAGES, 1]
    large = list(verdict.parts([Sized(BATCH_BYTES - 1), Sized(2), Sized(3 * BATCH_BYTES), Sized(1)]))
    assert [len(part) for part in large] == [1, 1, 1, 1]


def test_after_a_change_of_the_model_the_page_shows_the_new_one(world: World, page: Opener) -> None:
    app = page("verdict")
    world.models = [model("second", serves=True, names=["x", "y", "z"])]
    app.file_uploader(key="images").set_value(upload("photo.png")).run()
    assert not app.exception
    assert "**second**" in markdown(app) and ">y</th>" in html(app)


def test_a_file_that_is_no_image_has_no_preview() -> None:
    assert verdict.preview(b"no image") is None
    assert verdict.preview(fake_api.png()).size == (64, 64)


@pytest.mark.parametrize("form", ["PPM", "TGA", "ICO", "PCX"])
def test_a_format_that_the_api_does_not_read_has_no_preview(form: str) -> None:
    stream = io.BytesIO()
    assert verdict.FORMATS == decode.FORMATS
    Image.new("RGB", (64, 64)).save(stream, form)
    Image.open(io.BytesIO(stream.getvalue())).load()
    assert verdict.preview(stream.getvalue()) is None


@pytest.mark.parametrize("error", [struct.error, EOFError, IndexError, MemoryError, Image.DecompressionBombError])
def test_a_damaged_file_has_no_preview_whatever_its_decoder_raises(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(image: Image.Image) -> None:
        raise error("damaged")

    monkeypatch.setattr(PngImageFile, "load", fails)
    assert verdict.preview(fake_api.png()) is None


def test_the_page_says_that_a_refused_file_has_no_preview(world: World, page: Opener) -> None:
    world.answers["photo.png"] = "unreadable"
    app = page("verdict")
    app.file_uploader(key="images").set_value([("photo.png", fake_api.png()[:60], "image/png")]).run()
    assert not app.exception
    assert "There is no preview of this file." in [each.value for each in app.caption]


def test_without_calibration_the_bars_say_so(world: World, page: Opener) -> None:
    world.models = [model("raw", serves=True, calibration=None, certificate=None)]
    app = page("verdict")
    app.file_uploader(key="images").set_value(upload("photo.png")).run()
    assert "Probability of each class, not calibrated" in html(app)


def test_while_no_model_can_answer_the_page_says_why(world: World, page: Opener) -> None:
    world.models = []
    assert page("verdict").error[0].value == "the model is being loaded"


def test_the_page_says_what_is_wrong_with_the_model(world: World, page: Opener) -> None:
    world.note = "unibuc serves: lda cannot be loaded"
    assert page("verdict").warning[0].value == r"unibuc serves\: lda cannot be loaded"


def test_the_api_is_down_and_the_command_that_starts_it_is_named(
    world: World, page: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKEPRINT_API", "http://127.0.0.1:9")
    app = page("verdict")
    assert "cannot be reached" in app.error[0].value and "`fakeprint serve`" in app.error[0].value
    monkeypatch.setenv("FAKEPRINT_API", world.url)
    app.button[0].click().run()
    assert not app.error and app.file_uploader


def test_a_refusal_is_its_one_line(world: World, page: Opener) -> None:
    app = page("verdict")
    world.refusal = (413, "the request is larger than 64 MiB; send fewer images")
    app.file_uploader(key="images").set_value(upload("photo.png")).run()
    assert app.error[0].value == "the request is larger than 64 MiB; send fewer images"


def test_a_missing_key_is_reported_with_its_variable(world: World, page: Opener) -> None:
    world.refusal = (401, "an API key is required")
    assert "an API key is required" in (said := page("verdict").error[0].value) and "`FAKEPRINT_KEY`" in said
