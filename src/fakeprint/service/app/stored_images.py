"""Images of a data set that the API holds, chosen by the data set's address."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from fakeprint.service.app.connection import client, plain

ADDRESS = re.compile(r"(?:\S*/datasets/)?([0-9a-f]{32})(?:/images(?:/(\d{1,9}))?)?/?")
PAGE = 100  # images in the list to choose one from
MOST = 128  # images that are answered at a time
USUAL = 16
KEPT = 32  # files: at least as many as one request of the page has
ONE, SEVERAL = "One image", "The first images"


@dataclass(frozen=True)
class StoredImage:
    """An image of a data set, fetched when its file is asked for. label: what its data set says."""

    dataset: str
    number: int
    name: str
    label: str | None

    @property
    def file_id(self) -> str:
        """Its address, without the API's."""
        return f"{self.dataset}/images/{self.number}"

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.getvalue())

    def getvalue(self) -> bytes:
        """Its file. Raises ApiError."""
        return _content(client().url, self.file_id)


@st.cache_data(max_entries=KEPT, ttl=600, show_spinner=False)
def _content(url: str, file_id: str) -> bytes:
    return client().content(f"/datasets/{file_id}")


@st.cache_data(max_entries=KEPT, ttl=600, show_spinner=False)
def _page(url: str, dataset: str, split: str | None, first: int, limit: int) -> dict[str, Any]:
    return client().get(f"/datasets/{dataset}/images", split=split, first=first, limit=limit)


def parsed(address: str) -> tuple[str, int | None] | None:
    """Id of the data set and number of the image, where one is named; None for what is no address of a data set."""
    found = ADDRESS.fullmatch(address.strip())
    return (found[1], int(found[2]) if found[2] else None) if found else None


def chosen() -> Sequence[StoredImage]:
    """Fields for a data set and its images, and what is chosen there. Raises ApiError."""
    if "address" not in st.session_state:
        st.session_state["address"] = st.query_params.get("dataset", "")
    address = st.text_input(
        "Address of a data set, or its id",
        key="address",
        placeholder=f"{client().url}/datasets/…",
        help="The page Data shows it, and the API answers with it when a data set is sent. It is looked for at "
        f"{client().url}, whatever the address says.",
    )
    if not address.strip():
        return []
    place = parsed(address)
    if place is None:
        st.warning(
            f"{plain(address)} is no address of a data set: it ends in /datasets/ and 32 characters, 0–9 and a–f.",
            icon=":material/link_off:",
        )
        return []
    dataset, number = place
    st.query_params["dataset"] = dataset if number is None else f"{dataset}/images/{number}"
    if number is not None:
        return _images(dataset, _page(client().url, dataset, None, number, 1)["images"])
    splits = {split: count for split, count in _page(client().url, dataset, None, 0, 1)["splits"].items() if count}
    split = st.selectbox("Split", list(splits), format_func=lambda each: f"{each} ({splits[each]:,} images)")
    if split == "train":
        st.caption("A model that was fitted to this data set has learned from these images, and is right about most.")
    which = st.radio("Which images", [ONE, SEVERAL], horizontal=True)
    if which == SEVERAL:
        most = min(MOST, splits[split])
        count = st.number_input("How many", 1, most, min(USUAL, most), help=f"At most {MOST}, from the split's first.")
        return _images(dataset, _page(client().url, dataset, split, 0, int(count))["images"])
    found = _page(client().url, dataset, split, _first(dataset, split, splits), PAGE)["images"]
    return [_one(_images(dataset, found), split)]


def _images(dataset: str, found: Sequence[dict[str, Any]]) -> list[StoredImage]:
    return [StoredImage(dataset, each["number"], each["name"], each["label"]) for each in found]


def _first(dataset: str, split: str, splits: dict[str, int]) -> int:
    """Number of the first image of the list to choose from."""
    names = list(splits)
    before = sum(splits[each] for each in names[: names.index(split)])
    if splits[split] <= PAGE:
        return before
    from_image = st.number_input("List images from number", 1, splits[split], 1, step=PAGE, key=f"from-{split}")
    return before + int(from_image) - 1


def _one(images: Sequence[StoredImage], split: str) -> StoredImage:
    by_number = {image.number: image for image in images}
    number = st.selectbox(
        "Image", list(by_number), format_func=lambda each: by_number[each].name, key=f"stored-image-{split}"
    )
    image = by_number[number]
    if image.label is not None:
        st.markdown(f"The data set says: **{plain(image.label)}**.")
    return image
