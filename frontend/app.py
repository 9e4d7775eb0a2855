"""The page: give it a photo, and see what the model sees.

    streamlit run frontend/app.py

It asks the endpoint that `settings` names, over HTTP like everybody who calls it, and holds no model.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import card
import examples
import markup
import results
import settings
import ways
from answers import both
from client import Failure, Gateway
from shots import Progress, Shot, send

FOLDER = Path(__file__).parent
WAKING = "Waking up… the first answer may take some seconds."
LABELS_IN_A_SENTENCE = 12
Description = Mapping[str, Any]


def main() -> None:
    st.set_page_config("Lenslet", FOLDER / "icon.svg", layout="wide")
    st.html(FOLDER / "page.css")
    gateway, address = choose_gateway()
    st.title("Lenslet", anchor=False)
    description, trouble = describe(gateway.url, gateway.key)
    st.markdown(introduction(description))
    classify, model, requests = st.tabs(["Classify", "Model card", "Request examples"])
    with classify:
        show_trouble(trouble)
        show_photos(gateway, description)
    with model:
        if description:
            card.show(description)
        else:
            show_trouble(trouble)
    with requests:
        show_examples(address, bool(gateway.key))


def choose_gateway() -> tuple[Gateway, str]:
    """The endpoint and key in use, from where `settings` says, and the address that others know it by."""
    given = settings.read_given(os.environ, read_secrets())
    is_open = settings.may_choose(given, st.get_option("server.address"))
    default = given.endpoint or settings.DEFAULT_ENDPOINT
    with st.sidebar:
        st.markdown("**Endpoint**")
        typed = st.text_input("Address", default, disabled=not is_open, key="endpoint")
        if not is_open:
            st.caption("Set by whoever runs this page.")
        key = st.text_input("API key", type="password", autocomplete="off", key="key").strip()
        st.caption(
            "A key is set; one typed here is preferred."
            if given.key
            else "Only if the endpoint asks for one."
        )
    endpoint = settings.clean(typed) if is_open else default
    gateway = Gateway(endpoint, settings.key_for(endpoint, given, key))
    return gateway, settings.address_for_others(endpoint, given)


def read_secrets() -> dict[str, str]:
    try:
        return {name: str(st.secrets[name]) for name in settings.NAMES if name in st.secrets}
    except FileNotFoundError:  # there need not be any
        return {}


# Not asked at every move of a slider, but soon enough after the endpoint came up.
@st.cache_data(ttl=15, max_entries=100, show_spinner=WAKING)
def describe(url: str, key: str) -> tuple[Description | None, str]:
    """What GET / says, or a sentence about why it does not."""
    try:
        return Gateway(url, key, attempts=2).describe(), ""
    except Failure as failure:
        return None, str(failure)


def introduction(description: Description | None) -> str:
    labels = [str(label) for label in description["labels"]] if description else []
    known = f" It knows {markup.plain(both(labels))}." if 0 < len(labels) <= LABELS_IN_A_SENTENCE else ""
    return f"Give it a photo, and see what the model sees.{known}"


def show_trouble(trouble: str) -> None:
    if trouble:
        st.error(markup.plain(trouble), icon=":material/cloud_off:")


def show_photos(gateway: Gateway, description: Description | None) -> None:
    shots: dict[str, Shot] = st.session_state.setdefault("shots", {})
    for identity, shot in ways.take().items():
        shots.setdefault(identity, shot)
    # Also those that a run before this one was stopped at.
    pending = [shot for shot in shots.values() if not shot.outcome]
    # Always there: what stands below would else be shown twice while its place changes.
    place = st.empty()
    if pending:
        send_all(pending, gateway, place)
    if shots:
        results.show(list(shots.values()), description["labels"] if description else None)
    else:
        st.html(markup.EMPTY)


def send_all(pending: list[Shot], gateway: Gateway, place: DeltaGenerator) -> None:
    def tell(progress: Progress) -> None:
        place.progress(progress.done / progress.total, text=words_of(progress))

    tell(Progress(0, len(pending), is_waking=False))
    send(pending, gateway, tell)
    place.empty()


def words_of(progress: Progress) -> str:
    if progress.is_waking:
        return WAKING
    return f"Looking at photo {min(progress.done + 1, progress.total):,} of {progress.total:,}…"


def show_examples(address: str, has_key: bool) -> None:
    st.header("Ask the endpoint yourself", anchor=False)
    st.markdown(
        "Each of these sends the file `photo.jpg` of the folder it is started in, and prints what comes back."
    )
    if has_key:
        st.markdown("The key is read from the environment: `export LENSLET_API_KEY=…` first.")
    for name, write in examples.LANGUAGES.items():
        st.subheader(name, anchor=False)
        # No language: Streamlit's colours for code are too faint to read, on light pages most of all.
        st.code(write(address, has_key), language=None, wrap_lines=True)


if __name__ == "__main__":
    main()
