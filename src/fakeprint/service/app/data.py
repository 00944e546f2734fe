"""The page Data: what a data set holds, as the stage `validate` sees it; upload and delete one."""

import base64
from collections.abc import Mapping
from typing import Any

import streamlit as st

from fakeprint.service.app import words
from fakeprint.service.app.connection import client, errors_shown, plain, show
from fakeprint.service.client import ApiError

ARCHIVES = ["zip", "tar", "gz", "tgz"]
LAYOUTS = """
One `.zip` or `.tar(.gz)` in any of these layouts:

- `train.csv` with the columns `image_id,label`, and `train/ID.png`
- `train/CLASS/…`: folders with splits (`train`, `val`, `test`)
- `GENERATOR/train/ai/…`: folders of generators
- `CLASS/…`: one folder per class
"""
SHOWN_SIZES = 10
PICTURES = {
    "audits": "What the files give away without the picture",
    "channels": "Colours of splits and classes",
    "class_counts": "Images of each class and split",
    "samples": "Sample images of each class",
    "sizes": "Sizes of images and files",
}


def render() -> None:
    """Show the page."""
    st.title("Data")
    with errors_shown():
        found = datasets()
    if outcome := st.session_state.pop("outcome-data", None):
        st.success(plain(outcome), icon=":material/check_circle:")
    with st.expander("Send a data set", icon=":material/upload:", expanded=not found):
        _upload()
    if not found:
        st.info("There is no data set yet. Send one above.", icon=":material/photo_library:")
        return
    dataset = choice(found, "Data set")
    classes = len(dataset["classes"])
    st.markdown(
        f"**{plain(dataset['name'])}:** {dataset['images']:,} images, {classes} classes, "
        f"{dataset['bytes'] / 2**20:,.1f} MiB, sent {dataset['created'][:16].replace('T', ' ')} UTC"
    )
    st.markdown(f"Its address: `{client().url}/datasets/{dataset['id']}`. The page Verdict answers its images by it.")
    with errors_shown():
        with st.spinner("Every image is read once; large data sets take minutes the first time"):
            profile = _profile(dataset["id"], dataset["digest"])
        _show(profile)
    _delete(dataset)


def datasets() -> list[dict[str, Any]]:
    """All data sets, bodies of `schemas.Dataset`. Raises ApiError."""
    return client().get("/datasets")["datasets"]


def choice(found: list[dict[str, Any]], label: str) -> dict[str, Any]:
    """A list to choose a data set from."""
    by_id = {each["id"]: each for each in found}
    wanted = st.session_state.pop("dataset", None)
    if wanted in by_id:
        st.session_state[f"choice-{label}"] = wanted
    if st.session_state.get(f"choice-{label}") not in by_id:
        st.session_state.pop(f"choice-{label}", None)
    chosen = st.selectbox(
        label,
        list(by_id),
        format_func=lambda each: f"{by_id[each]['name']} ({by_id[each]['images']:,} images)",
        key=f"choice-{label}",
    )
    return by_id[chosen]


@st.cache_data(max_entries=16, show_spinner=False)
def _profile(identity: str, digest: str) -> dict[str, Any]:
    return client().get("/eda", dataset=identity)


def _upload() -> None:
    with st.form("upload", border=False):
        name = st.text_input("Name", max_chars=255, placeholder="my images")
        archive = st.file_uploader("Archive", type=ARCHIVES, help="Larger ones: see POST /datasets in the API's docs.")
        st.markdown(LAYOUTS)
        submitted = st.form_submit_button("Send", type="primary", icon=":material/upload:")
    if not submitted:
        return
    if archive is None:
        st.warning("Choose an archive first.")
        return
    try:
        with st.spinner("The API reads the archive"):
            made = client().upload(
                "/datasets",
                [("archive", (archive.name, archive, "application/octet-stream"))],
                name=name.strip() or archive.name,
            )
    except ApiError as error:
        show(error)
        return
    st.session_state["dataset"] = made["id"]
    st.session_state["outcome-data"] = f"{made['name']} is stored: {made['images']:,} images."
    st.rerun()


def _delete(dataset: Mapping[str, Any]) -> None:
    with st.expander("Delete this data set", icon=":material/delete:"):
        st.markdown("Its files are removed from the API for good. Models that were fitted with it stay.")
        sure = st.checkbox(f"Yes, delete {plain(dataset['name'])}", key=f"sure-{dataset['id']}")
        if st.button("Delete", disabled=not sure, key=f"delete-{dataset['id']}"):
            try:
                client().delete(f"/datasets/{dataset['id']}")
            except ApiError as error:
                show(error)
                return
            st.session_state["outcome-data"] = f"{dataset['name']} is deleted."
            st.rerun()


def _show(profile: Mapping[str, Any]) -> None:
    _warnings(profile)
    splits = profile["splits"]
    left, right = st.columns(2, gap="medium")
    with left:
        for split, counts in splits.items():
            title = f"Images per class, {split} ({sum(counts.values()):,})"
            st.html(words.count_bars(title, ("Class", "Images"), counts))
    with right:
        sizes = dict(list(profile["sizes"].items())[:SHOWN_SIZES])
        others = len(profile["sizes"]) - len(sizes)
        title = "Images per size in pixels" + (f", without {others:,} rarer sizes" if others else "")
        st.html(words.count_bars(title, ("Size", "Images"), sizes))
        channels = zip(("red", "green", "blue"), profile["channel_means"], profile["channel_deviations"], strict=True)
        rows = [words.Bar(name, mean / 255, f"{mean:.1f} ± {deviation:.1f}") for name, mean, deviation in channels]
        st.html(words.bars("Colour, 0–255: mean ± standard deviation", ("Channel", "Mean ± deviation"), rows))
    for name, png in profile["pictures"].items():
        caption = PICTURES.get(name, name.replace("_", " "))
        st.image(base64.b64decode(png), caption=caption, alt=caption)


def _warnings(profile: Mapping[str, Any]) -> None:
    for each in profile["shortcuts"]:
        st.warning(f"A shortcut: {plain(each)}", icon=":material/warning:")
    if not profile["shortcuts"]:
        st.success("No fact of the files, such as format or size, gives the class away.", icon=":material/check:")
    duplicates = {name.replace("_", " "): count for name, count in profile["duplicates"].items() if count}
    if duplicates:
        found = ", ".join(f"{name}: {count:,}" for name, count in duplicates.items())
        st.warning(f"Duplicates: {plain(found)}", icon=":material/content_copy:")
    else:
        st.success("No image is there twice.", icon=":material/check:")
    if unusable := profile["unusable"]:
        lines = "\n".join(f"- {plain(reason)}: {count:,}" for reason, count in unusable.items())
        st.warning(f"Files that cannot be used:\n{lines}", icon=":material/broken_image:")
    if outliers := profile["outliers"]:
        with st.expander(f"Images whose colours are far from the others': {len(outliers):,}"):
            st.code("\n".join(outliers), language=None)
