import re

import pytest

from fakeprint.service.app import words
from fakeprint.service.app.connection import plain


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0.0 %"), (1.0, "100.0 %"), (0.9996, "> 99.9 %"), (0.0004, "< 0.1 %"), (0.123, "12.3 %"), (0.999, "99.9 %")],
)
def test_only_certainty_is_shown_as_such(share: float, shown: str) -> None:
    assert words.percent(share) == shown


def answered(answer: str, score: float = 0.97) -> dict:
    return {"status": "answered", "answer": answer, "name": "A & <b>", "score": score, "reason": "0.9 < 0.92"}


def test_each_kind_of_answer_has_its_own_words_sign_and_style() -> None:
    images = [answered("label"), answered("unsure"), answered("unknown"), {"status": "unreadable", "detail": "damaged"}]
    cards = [words.card(image) for image in images]
    parts = [re.search(r'class="fp-card ([\w-]+)".*?true">(.) </span>([\w ]+)<', card) for card in cards]
    for kinds in zip(*(found.groups() for found in parts if found), strict=True):
        assert len(set(kinds)) == len(images)
    assert "about 97 are of the class" in cards[0]
    assert "Not sure enough to answer" in cards[1] and "97.0 %" in cards[1]
    assert "None of the known classes" in cards[2]
    assert "damaged" in cards[3]


def test_a_class_that_is_a_number_is_called_a_class() -> None:
    assert words.headline(answered("label") | {"name": "3"})[0] == "Class 3"
    assert "class 3" in words.headline(answered("unsure") | {"name": "3"})[1]


def test_a_very_sure_answer_is_not_called_certain() -> None:
    assert "nearly all" in words.headline(answered("label", 0.9999))[1]


def test_names_are_no_markup() -> None:
    assert "A &amp; &lt;b&gt;" in words.card(answered("label")) and "<b>" not in words.card(answered("label"))
    assert "<script>" not in words.probability_bars({"0": 1.0}, {"0": "<script>"}, "<script>")
    assert plain("**a** [b](c) :red[d]\n$x$ <i>") == r"\*\*a\*\* \[b\]\(c\) \:red\[d\] \$x\$ \<i\>"


def test_bars_are_a_table_with_the_largest_probability_first() -> None:
    shown = words.probability_bars({"a": 0.2, "b": 0.7, "c": 0.1}, {"a": "first", "b": "second"}, "Probabilities")
    assert re.findall(r'<th scope="row">(\w+)', shown) == ["second", "first", "c"]
    assert re.findall(r"width:([\d.]+)%\"></span>", shown) == ["70.00", "20.00", "10.00"]


def test_many_classes_end_in_their_sum() -> None:
    shown = words.probability_bars({str(number): 0.01 for number in range(100)}, {}, "Probabilities")
    assert f"{100 - words.SHOWN_CLASSES} other classes" in shown and "88.0 %" in shown


def test_a_model_of_a_fit_is_called_by_what_it_is() -> None:
    assert words.model_name({"name": "champion", "model": "lda"}) == "champion"
    assert words.model_name({"name": "job:0123456789abcdef", "model": "lda"}) == "lda of fit 01234567"


def test_sets_in_words() -> None:
    assert words.set_in_words(None, {}) is None
    assert words.set_in_words([], {}) == "No class fits well."
    assert words.set_in_words(["0", "1"], {"0": "camera"}) == "camera, class 1"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(20, "less than a minute"), (250, "about 4 min"), (7300, "about 2 h 2 min")]
)
def test_times_as_people_say_them(seconds: float, shown: str) -> None:
    assert words.duration(seconds) == shown
