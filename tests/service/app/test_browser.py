"""The app in Chromium against the real API: what a person does, from an image to a model of their own."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from PIL import Image

from fakeprint.data import demo
from fakeprint.service.jobs import work_folder
from fakeprint.service.jobs.worker import Worker
from fakeprint.service.settings import Settings
from fakeprint.service.tables import connect
from tests.service.app.test_command import free_port

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; Debian: apt install chromium"),
]
PATIENCE, FIT_PATIENCE = 90.0, 600.0  # seconds
DRAW = demo.Draw(size=64, train=5, validation=5, test=1, strength=(0.8, 1.0), habits=4.0, noise=(0.0, 1.0))
SMALLEST = {"run.features": ["hsv_joint"], "run.classifiers": ["knn"], "run.networks": [], "run.ensembles": []}


def picture(number: int, decoder: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(demo.image(7, DRAW, number, decoder)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, preloaded: str, migrated: Path) -> Iterator[SimpleNamespace]:
    """`fakeprint app --serve`, where the model of the package serves, and a worker; `app`, `api`: addresses.

    The worker is a thread of this process, so that its stages run in forks that have loaded the large libraries.
    """
    folder = tmp_path_factory.mktemp("app")
    settings = Settings(folder=folder / ".fakeprint" / "service", workers=0)
    settings.folder.mkdir(parents=True)
    (settings.folder / "mlflow.db").write_bytes(migrated.read_bytes())
    worker = Worker(connect(settings), settings)
    working = threading.Thread(target=worker.run)
    app, api = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    environment = os.environ | {"HOME": str(folder), "FAKEPRINT_WORKERS": "0"}
    command = [sys.executable, "-m", "fakeprint", "app", "--serve", "--api", api, "--port", app.rpartition(":")[2]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + PATIENCE
        for page in (f"{api}/ready", f"{app}/_stcore/health"):
            while not _answers(page):
                said = (folder / "log").read_text()
                assert process.poll() is None and time.monotonic() < end, said
                time.sleep(0.2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(work_folder, "PYTHON", Path(preloaded.partition(":")[0]) / "python")
            working.start()
            yield SimpleNamespace(app=app, api=api, log=folder / "log")
            worker.stop()
            working.join()
    finally:
        worker.stop()
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def _answers(page: str) -> bool:
    try:
        return httpx.get(page).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: "sync_api.Browser", started: SimpleNamespace) -> Iterator["sync_api.Page"]:
    """A tab as wide as a phone. It may ask no other machine for anything."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.set_default_timeout(PATIENCE * 1000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    page.close()
    own = (started.app, started.app.replace("http", "ws"), "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []


def too_wide(tab: "sync_api.Page") -> list[str]:
    """What is cut off at the right edge of the window, except for what scrolls in a frame of its own."""
    return tab.evaluate(
        "[...document.querySelectorAll('.block-container *')].filter(each => !each.closest('.stDataFrame') &&"
        " each.checkVisibility() && each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML)"
    )


def unlabelled(tab: "sync_api.Page") -> list[str]:
    """Fields, buttons and pictures that a screen reader has no name for."""
    return tab.evaluate(
        "[...document.querySelectorAll('.block-container :is(input, button, select, textarea, img)')].filter(each =>"
        " each.checkVisibility() && (each.tabIndex >= 0 || each.matches('img')) && !(each.ariaLabel || each.alt ||"
        " each.title || each.innerText || each.labels?.length || each.getAttribute('aria-labelledby')))"
        ".map(each => each.outerHTML)"
    )


def test_every_page_opens_on_a_phone_and_by_keyboard(tab: "sync_api.Page", started: SimpleNamespace) -> None:
    for address, title in (("models", "Models"), ("data", "Data"), ("fit", "Fit a model")):
        tab.goto(f"{started.app}/{address}")
        tab.get_by_role("heading", name=title, exact=True).wait_for()
        tab.get_by_text("Images to check are not kept").wait_for()
        assert too_wide(tab) == []
    tab.goto(f"{started.app}/models")
    tab.get_by_text("This model answers now.").wait_for()
    focused = "document.activeElement.matches('summary') && /Hyperparameters$/.test(document.activeElement.innerText)"
    for _ in range(40):
        if tab.evaluate(focused):
            break
        tab.keyboard.press("Tab")
    assert tab.evaluate(focused)
    tab.keyboard.press("Enter")
    tab.get_by_text("high_pass").wait_for()


def archive() -> bytes:
    """A data set of one folder per class: 60 small images of two simulated generators."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as zipped:
        for number in range(60):
            decoder = ("fir_upsampling", "transposed_conv")[number % 2]
            zipped.writestr(f"{decoder}/{number}.png", picture(number, decoder))
    return stream.getvalue()


def choose(tab: "sync_api.Page", label: str, *options: str) -> None:
    """Choose options of a list by keyboard."""
    field = tab.get_by_role("combobox", name=label, exact=True)
    for option in options:
        field.focus()
        tab.keyboard.type(option)
        tab.get_by_role("option", name=option, exact=True).wait_for()
        tab.keyboard.press("Enter")
    tab.keyboard.press("Escape")


def upload(tab: "sync_api.Page", name: str, content: bytes, media_type: str = "image/png") -> None:
    tab.locator("input[type=file]").set_input_files({"name": name, "mimeType": media_type, "buffer": content})


def test_a_person_goes_from_an_image_to_a_model_of_their_own(tab: "sync_api.Page", started: SimpleNamespace) -> None:
    content = picture(1, "fir_upsampling")
    tab.goto(started.app)
    tab.get_by_label("Images", exact=True).first.wait_for(state="attached")
    upload(tab, "a.png", content)
    card = tab.locator(".fp-card")
    card.wait_for()
    asked = httpx.post(f"{started.api}/predict", files=[("files", ("a.png", content))]).json()["images"][0]
    shown = {"label": f"Class {asked['name']}", "unsure": "Not sure enough to answer"}[asked["answer"]]
    assert shown in card.inner_text() and asked["reason"] in card.inner_text()
    assert tab.locator(".fp-bars tbody tr").count() == len(asked["probabilities"])
    tab.get_by_alt_text("Map over a.png: what the answer rests on").wait_for()
    assert too_wide(tab) == []
    assert unlabelled(tab) == []

    tab.goto(f"{started.app}/data")
    tab.get_by_label("Name").fill("drawn")  # the form is open where there is no data set yet
    upload(tab, "drawn.zip", archive(), "application/zip")
    tab.get_by_text("drawn.zip").first.wait_for()
    tab.get_by_role("button", name="Send", exact=True).click()
    tab.get_by_text("drawn is stored: 60 images.").wait_for()
    tab.get_by_text("Images per class, train").wait_for()
    assert too_wide(tab) == []

    tab.goto(f"{started.app}/fit")
    choose(tab, "Data set to fit", "drawn (60 images)")
    choose(tab, "Parameters to change", *SMALLEST)
    for name, value in SMALLEST.items():
        for _ in range(5):  # at most so many are there
            tab.get_by_role("combobox", name=name, exact=True).press("Backspace")
        choose(tab, name, *value)
    tab.get_by_role("button", name="Start", exact=True).click()
    tab.wait_for_url("**/fit?job=*")
    address = tab.url
    tab.get_by_role("heading", name="drawn", exact=True).wait_for()
    tab.goto("about:blank")  # the session is lost, its address is not
    tab.goto(address)
    job = httpx.get(f"{started.api}/jobs/{address.partition('=')[2]}").json()
    assert job["parameters"] == SMALLEST
    tab.get_by_text("The champion: knn").wait_for(timeout=FIT_PATIENCE * 1000)
    assert too_wide(tab) == []

    tab.get_by_role("button", name="Let this model answer").click()
    tab.get_by_text("answers from now on").wait_for()
    tab.get_by_text("This model answers now.").wait_for()
    tab.goto(started.app)
    tab.get_by_text("which learned from drawn").wait_for()
    upload(tab, "b.png", picture(61, "transposed_conv"))
    tab.locator(".fp-card").wait_for()
    assert sorted(tab.locator(".fp-bars tbody th").all_inner_texts()) == ["fir_upsampling", "transposed_conv"]

    tab.goto(f"{started.app}/?dataset={job['dataset']}")
    tab.get_by_text("The data set says: fir_upsampling").wait_for()
    tab.locator(".fp-card").wait_for()
    tab.get_by_text("The first images").click()
    tab.get_by_text("16 images: ").wait_for()
    tab.get_by_text("name the class that the data set says.").wait_for()
    assert too_wide(tab) == []
    assert unlabelled(tab) == []
