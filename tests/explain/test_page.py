"""The page in a real browser: filters, pictures, keyboard, colours, hostile names, and nothing from the network."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fakeprint.explain import pictures
from fakeprint.explain.page import write_page
from tests.explain.chromium import BROWSER, Page, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH"),
]

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
CLASSES = ["cat & dog", "<b>bold</b>", HOSTILE]
COUNT = 60


def item(number: int) -> dict[str, Any]:
    """Label and answer differ for every fifth image; every seventh is unsure; the probability falls with the number."""
    answer = number % 3
    label = (answer + 1) % 3 if number % 5 == 0 else answer
    p = 0.99 - number / 100
    image = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    noise = pictures.residual(image)
    return {
        "id": f"{number} {HOSTILE}",
        "label": label,
        "answer": answer,
        "p": [p if each == answer else (1 - p) / 2 for each in range(3)],
        "decision": "unsure" if number % 7 == 0 else "label",
        "image": pictures.picture(image),
        "residual": pictures.residual_picture(noise),
        "spectrum": pictures.spectrum_picture(noise),
        "map": pictures.map_picture(np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)),
        "effects": [[HOSTILE, 2.5], ["spectrum", -1.25]],
        "members": [[HOSTILE, answer, p]],
        "near": [[5, "0.25"]],
        **({"suspect": 0.01} if number == 10 else {}),
    }


HEAD = {
    "title": f"a model on {HOSTILE}",
    "summary": "60 images.",
    "classes": CLASSES,
    "probabilities": "Probabilities",
    "pair": {"classes": [0, 1], "text": f"Of {HOSTILE} …"},
    "notes": [("Residual", HOSTILE)],
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    train = {"id": HOSTILE, "label": 2, "src": pictures.thumbnail(np.zeros((40, 40, 3), np.uint8))}
    write_page(path, HEAD, map(item, range(COUNT)), [(5, train)])
    return path


@pytest.fixture(scope="module")
def browser(file: Path) -> Iterator[Page]:
    with opened(file) as page:
        yield page


@pytest.fixture
def page(browser: Page, file: Path) -> Page:
    """The page, freshly loaded."""
    browser.open(file)
    return browser


ITEMS = [item(number) for number in range(COUNT)]
MISTAKES = [each for each in ITEMS if each["label"] != each["answer"]]


def mistakes_between(first: int, second: int) -> list[dict[str, Any]]:
    return [each for each in MISTAKES if {each["label"], each["answer"]} == {first, second}]


def count(page: Page) -> str:
    return str(page.run("document.getElementById('count').textContent"))


def choose(page: Page, element: str, value: object, event: str) -> None:
    page.run(
        f"(() => {{ const e = document.getElementById('{element}'); e.value = '{value}'; "
        f"e.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})()"
    )


def focused(page: Page) -> str:
    return str(page.run("document.activeElement.tagName + ' ' + document.activeElement.textContent.slice(0, 40)"))


def test_nothing_is_fetched_and_the_console_is_silent(page: Page, file: Path) -> None:
    page.run("new Promise(done => setTimeout(done, 300))")
    assert page.errors == []
    assert set(page.requests) == {file.resolve().as_uri()}
    # and its policy would refuse an address
    page.run(
        "new Promise(done => { const i = new Image(); i.onerror = i.onload = done; i.src = 'http://127.0.0.1:9/'; })"
    )
    assert any("Content Security Policy" in each for each in page.errors)
    page.errors.clear()


def test_every_picture_decodes(page: Page) -> None:
    found = page.run("Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth, () => 0)))")
    in_pair = len(mistakes_between(0, 1))
    assert len(found) == in_pair + 24 * 6  # of each card the image, twice, and map, residual, spectrum, train image
    assert min(found) > 0
    assert page.run("[...document.images].filter(i => !i.hasAttribute('alt')).length") == 0


def test_names_are_text_everywhere(page: Page, file: Path) -> None:
    assert page.run("document.title") == HEAD["title"]
    assert page.run("document.scripts.length") == 4  # three of data, one of code
    assert page.run("document.querySelectorAll('[onerror], article b, option b').length") == 0
    shown = page.run("document.querySelector('article').textContent")
    assert shown.count(HOSTILE) >= 4  # image, class, feature set, member, train image
    assert page.run("document.getElementById('class').options[3].textContent") == HOSTILE
    assert HOSTILE not in file.read_text(encoding="utf-8")


def test_filters(page: Page) -> None:
    assert count(page) == "60 images"
    assert page.run("document.querySelectorAll('article').length") == 24
    page.run("document.querySelector('[data-outcome=mistakes]').click()")
    assert count(page) == f"{len(MISTAKES)} images of 60"
    choose(page, "class", 1, "change")
    of_class = [each for each in MISTAKES if 1 in (each["label"], each["answer"])]
    assert count(page) == f"{len(of_class)} images of 60" and 0 < len(of_class) < len(MISTAKES)
    page.run("document.getElementById('reset').click()")
    choose(page, "from", 70, "input")
    choose(page, "to", 80, "input")
    within = [each for each in ITEMS if 0.7 <= round(max(each["p"][each["answer"]], 0), 3) <= 0.8]
    assert count(page) == f"{len(within)} images of 60"
    choose(page, "from", 99.5, "input")
    assert count(page) == "No image passes these filters."
    page.run("document.getElementById('reset').click()")
    page.run("document.querySelector('[data-outcome=unsure]').click()")
    assert count(page) == f"{len(range(0, COUNT, 7))} images of 60"
    page.run("""document.querySelector('[data-outcome="suspected labels"]').click()""")
    assert count(page) == "1 image of 60"
    assert page.run("document.querySelectorAll('[data-outcome=unknown]').length") == 0  # none is: no such filter


def test_the_hardest_pair_and_its_images(page: Page) -> None:
    both = mistakes_between(0, 1)
    assert page.run("document.getElementById('pair-text').textContent") == HEAD["pair"]["text"]
    assert page.run("document.querySelectorAll('#pair-images img').length") == len(both)
    page.run("document.getElementById('pair-only').click()")
    assert count(page) == f"{len(both)} images, of the hardest pair only of 60"
    page.run("document.querySelector('#pair-images button').click()")
    assert page.run("document.activeElement.getAttribute('aria-label')").startswith(both[0]["id"])


def test_more_images_are_drawn_on_demand(page: Page) -> None:
    assert page.run("document.getElementById('more').textContent") == "Show 24 more of 36"
    page.run("document.getElementById('more').click()")
    assert page.run("document.querySelectorAll('article').length") == 48
    assert focused(page).startswith("ARTICLE 24 ")
    page.run("document.getElementById('more').click()")
    assert page.run("document.getElementById('more').hidden") is True


def test_keys_reach_everything(page: Page) -> None:
    page.press("Tab")
    assert focused(page) == "A Skip to the images"
    seen = []
    for _ in range(40):
        page.press("Tab")
        seen.append(focused(page).split()[0])
        assert page.run("getComputedStyle(document.activeElement).outlineStyle") != "none"  # visible
        if seen[-1] == "ARTICLE":
            break
    assert seen[-1] == "ARTICLE"  # one stop for all images
    assert seen.count("SELECT") == 1 and seen.count("INPUT") == 2 and seen.count("BUTTON") > 5
    page.press("ArrowDown", "ArrowDown")
    assert focused(page).startswith("ARTICLE 2 ")
    page.press("ArrowUp")
    assert focused(page).startswith("ARTICLE 1 ")
    page.press("End")
    assert focused(page).startswith("ARTICLE 23 ")
    page.press("ArrowDown")  # the next ones are drawn
    assert focused(page).startswith("ARTICLE 24 ")
    page.press("Home")
    assert focused(page).startswith("ARTICLE 0 ")


@pytest.mark.parametrize("key", ["Enter", " "])
def test_keys_press_a_filter(page: Page, key: str) -> None:
    page.run("document.querySelector('[data-outcome=mistakes]').focus()")
    page.press(key)
    assert page.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert count(page) == f"{len(MISTAKES)} images of 60"


CONTRAST = """
(() => {
  const channel = c => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const colour = text => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const c = colour(getComputedStyle(node).backgroundColor);
      if (c[3] === 255) return c;
    }
  };
  let worst = 21, of = '';
  for (const node of document.querySelectorAll('body *')) {
    const hasText = [...node.childNodes].some(c => c.nodeType === 3 && c.data.trim());
    if (!hasText || !node.offsetParent || ['SCRIPT', 'STYLE', 'OPTION'].includes(node.tagName)) continue;
    const [a, b] = [light(colour(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < worst) { worst = ratio; of = node.tagName + ' ' + node.className; }
  }
  return [worst, of];
})()
"""


@pytest.mark.parametrize("dark", [False, True])
def test_texts_are_readable_and_nothing_is_cut_off(file: Path, dark: bool) -> None:
    """Contrast of 4.5 or more (WCAG 2, AA), no sideways scrolling on a phone."""
    with opened(file, width=420, height=900, dark=dark) as page:
        worst, element = page.run(CONTRAST)
        assert worst >= 4.5, element
        assert page.run("document.documentElement.scrollWidth") <= 420
        ground = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))[:, 2]
        assert (np.median(ground) < 60) is np.bool_(dark)
        assert page.errors == []
