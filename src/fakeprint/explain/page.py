"""One HTML page that needs no network: its style, its script and its pictures are inside it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2

from fakeprint.files import written

Item = dict[str, Any]


def write_page(path: Path, head: dict[str, Any], items: Iterable[Item], train: Iterable[tuple[int, Item]]) -> None:
    """Write the page, image by image: only one item is in memory.

    head: title, summary, classes (names), probabilities (what they are), notes (term and text), pair (None, or classes
    and text). items: one per image, in the order in which the page shows them: id, label (class index, −1 where
    unknown), answer (class index), p (a probability per class), image, residual and spectrum (`data:` addresses), and
    where there is one: map, members (name, class index, probability), effects (feature set, log-odds), near (train row,
    distance), decision (label, unsure, unknown), suspect (quality of the label). train: row and id, label and src of
    the train images that `near` names; read after the items.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fakeprint.explain", "template"),
        autoescape=jinja2.select_autoescape(["html"]),
        keep_trailing_newline=True,
    )
    # Not sorted; escapes for what is not ASCII, because a file's name may hold bytes that UTF-8 cannot.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": True, "separators": (",", ":"), "allow_nan": False}
    stream = environment.get_template("page.html").stream(head=head, items=_each(items), train=_each(train))
    with written(path) as partial, partial.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        for piece in stream:
            file.write(piece)


def _each(items: Iterable[Any]) -> Iterator[Any]:
    """A generator, of which a template's loop reads one item at a time."""
    yield from items
