"""What the app says about an answer. Pure text: dicts of the API in, words and HTML out."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

NO_PROOF = (
    "An answer is no proof. It says what the image resembles among the classes that this model learned. Images that "
    "were resized, compressed again or edited, and generators that it never saw, can mislead it."
)
MEANINGS = """
**Probability.** The model shares 100 % among the classes that it knows. The shares are calibrated: of many images that
it answers with 90 %, about 90 in 100 are of the class that it names. This holds for images like those it was measured
on, and for no other kind of image.

**Unsure.** The largest probability is below the value from which the model's answers are reliable enough. The class
that it would name is shown, but do not take it as the answer.

**Unknown.** The image resembles none of the classes. A model without such a test names a class for every image, also
for a photograph of nothing that it knows.

**Classes not excluded.** A set that holds the true class for a promised share of images, usually 90 %. Several classes:
the model cannot tell them apart here. None: the image fits no class well, which is not the same as "unknown".

**What the file declares.** Signatures, labels and prompts that are written in the file. Anyone can remove them, and
most can be forged. They change no probability.
"""
STRENGTHS = {
    "signed_trusted": "signed, by a trusted signer",
    "signed_untrusted": "signed, but the signer is not on the trust list",
    "declared": "declared, anyone can write this",
    "watermark": "watermark",
}
BADGES = {
    "label": ("fp-label", "◆", "Answer"),
    "unsure": ("fp-unsure", "?", "Unsure"),
    "unknown": ("fp-unknown", "∅", "Unknown"),
    "unreadable": ("fp-unreadable", "×", "Not readable"),
}
SHOWN_CLASSES = 12
COLUMNS = '<colgroup><col style="width:38%"><col><col style="width:6.4rem"></colgroup>'


class Bar(NamedTuple):
    """A row of `bars`. share: of the full width, 0 to 1. figure: as text."""

    name: str
    share: float
    figure: str


def class_name(name: str) -> str:
    """What a class is called in a sentence: a number alone would be mistaken for a count."""
    return f"class {name}" if name.isdigit() else name


def model_name(model: Mapping[str, Any]) -> str:
    """What a model is called: that of a fit is `job:ID`, which says less than what it is."""
    name: str = model["name"]
    if name.startswith("job:"):
        return f"{model.get('model') or 'model'} of fit {name[4:12]}"
    return name


def percent(share: float) -> str:
    """A probability in percent. Only 0 and 1 are shown as such: 0.9999 is not 100 %."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def kind(image: Mapping[str, Any]) -> str:
    """label, unsure, unknown or unreadable."""
    return str(image["answer"]) if image["status"] == "answered" else "unreadable"


def headline(image: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict, and a sentence that says what it means."""
    if image["status"] != "answered":
        return "This file gets no answer", str(image["detail"])
    name, score = class_name(image["name"]), percent(image["score"])
    if image["answer"] == "unsure":
        return "Not sure enough to answer", f"Most probable is {name}, with {score}."
    if image["answer"] == "unknown":
        sentence = f"It resembles none of the classes that this model learned. The closest is {name}, with {score}."
        return "None of the known classes", sentence
    big = name.capitalize() if image["name"].isdigit() else name
    return big, f"{score} probable. {_frequency(image['score'])}"


def _frequency(score: float) -> str:
    if score >= 0.995:
        return "Of images that get such an answer, nearly all are of the class that is named."
    return f"Of 100 images that get such an answer, about {round(100 * score)} are of the class that is named."


def card(image: Mapping[str, Any]) -> str:
    """The verdict as HTML. Its colour, its line and its sign differ from kind to kind."""
    style, sign, badge = BADGES[kind(image)]
    big, sentence = headline(image)
    reason = f"<p>Why: {html.escape(image['reason'])}</p>" if image["status"] == "answered" else ""
    return (
        f'<div class="fp-card {style}" role="status"><span class="fp-badge"><span aria-hidden="true">{sign} </span>'
        f'{badge}</span><div class="fp-name">{html.escape(big)}</div><p>{html.escape(sentence)}</p>{reason}</div>'
    )


def bars(caption: str, heads: tuple[str, str], rows: Iterable[Bar], first_is_bold: bool = False) -> str:
    """A bar chart that is a table too, so that a screen reader reads its figures."""
    lines = []
    for number, row in enumerate(rows):
        bold = ' class="fp-first"' if first_is_bold and number == 0 else ""
        lines.append(
            f'<tr{bold}><th scope="row">{html.escape(row.name)}</th><td aria-hidden="true"><span class="fp-track">'
            f'<span class="fp-bar" style="width:{100 * row.share:.2f}%"></span></span></td>'
            f'<td class="fp-figure">{html.escape(row.figure)}</td></tr>'
        )
    head = (
        f'<thead class="fp-hidden"><tr><th scope="col">{html.escape(heads[0])}</th><td></td>'
        f'<th scope="col">{html.escape(heads[1])}</th></tr></thead>'
    )
    top = f"<caption>{html.escape(caption)}</caption>{COLUMNS}{head}"
    return f'<table class="fp-bars">{top}<tbody>{"".join(lines)}</tbody></table>'


def probability_bars(probabilities: Mapping[str, float], names: Mapping[str, str], caption: str) -> str:
    """The probabilities as bars, the largest first. Beyond `SHOWN_CLASSES` the others are added up."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    rows = [Bar(class_name(names.get(label, label)), share, percent(share)) for label, share in ranked[:SHOWN_CLASSES]]
    if others := ranked[SHOWN_CLASSES:]:
        rest = min(1.0, sum(share for _, share in others))
        rows.append(Bar(f"{len(others)} other classes", rest, percent(rest)))
    return bars(caption, ("Class", "Probability"), rows, first_is_bold=True)


def count_bars(caption: str, heads: tuple[str, str], counts: Mapping[str, int]) -> str:
    """Counts as bars, relative to the largest."""
    largest = max(counts.values(), default=0) or 1
    return bars(caption, heads, (Bar(name, count / largest, f"{count:,}") for name, count in counts.items()))


def set_in_words(classes: Sequence[str] | None, names: Mapping[str, str]) -> str | None:
    """The conformal set in words; None where the model has none."""
    if classes is None:
        return None
    if not classes:
        return "No class fits well."
    return ", ".join(class_name(names.get(label, label)) for label in classes)


def summary(images: Sequence[Mapping[str, Any]]) -> str:
    """How many images got which kind of answer."""
    counts = {each: sum(kind(image) == each for image in images) for each in BADGES}
    words = {"label": "answered", "unsure": "unsure", "unknown": "unknown", "unreadable": "not readable"}
    return f"{len(images)} images: " + ", ".join(f"{count} {words[each]}" for each, count in counts.items() if count)


def agreement(images: Sequence[Mapping[str, Any]], labels: Sequence[str | None]) -> str:
    """How many of the answers name the class that the data set says."""
    known = [(image, label) for image, label in zip(images, labels, strict=True) if label is not None]
    answered = [(image, label) for image, label in known if image.get("answer") == "label"]
    right = sum(image["label"] == label for image, label in answered)
    return f"{right} of {len(answered)} answers name the class that the data set says."


def duration(seconds: float) -> str:
    """A time to wait, roughly, as people say it."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    return f"about {minutes // 60} h {minutes % 60} min"
