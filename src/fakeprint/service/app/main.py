"""What Streamlit runs: the pages and what they share."""

from pathlib import Path

import streamlit as st

from fakeprint import __version__
from fakeprint.service.app import data, fit, models, verdict

STYLE, ICON = (Path(__file__).with_name(name) for name in ("style.css", "icon.svg"))


def main() -> None:
    """Show the page that the address names. An address with `?job=ID` leads to the job, whatever its page is."""
    st.set_page_config(page_title="Fakeprint", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    pages = {
        "verdict": st.Page(verdict.render, title="Verdict", icon=":material/search:", default=True),
        "data": st.Page(data.render, title="Data", icon=":material/photo_library:", url_path="data"),
        "models": st.Page(models.render, title="Models", icon=":material/neurology:", url_path="models"),
        "fit": st.Page(fit.render, title="Fit", icon=":material/play_circle:", url_path="fit"),
    }
    page = st.navigation(list(pages.values()), position="top")
    if page != pages["fit"] and (job := st.query_params.get("job")):
        st.switch_page(pages["fit"], query_params={"job": job})
    page.run()
    st.caption(f"Fakeprint {__version__}. Images to check are not kept. Data sets stay until they are deleted.")


main()
