"""The page: give it a photo, and see what the model sees.

    streamlit run frontend/app.py

It asks the endpoint that `settings` names, over HTTP like everybody who calls it, and holds no model.
"""

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path, PurePath
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import card
import examples
import input_methods
import markup
import results
import settings
from answers import both
from client import Failure, Gateway
from sent_photos import Progress, Shot, send

FOLDER = Path(__file__).parent
WAKING = "Waking up… the first answer may take some seconds."
ASKING = "Asking the endpoint… If it is only just waking up, that takes some seconds."
WRONG_SECRETS = (
    "The file secrets.toml cannot be read, so nothing of it is used: is all text in it in quotes? The page's log says "
    "where it goes wrong."
)
LABELS_IN_A_SENTENCE = 12
Description = Mapping[str, Any]


def main() -> None:
    st.set_page_config("Lenslet", FOLDER / "icon.svg", layout="wide")
    st.html(FOLDER / "page.css")
    if has_wrong_secrets():
        st.error(WRONG_SECRETS, icon=":material/key_off:")
    gateway, address = choose_gateway()
    st.title("Lenslet", anchor=False)
    description, trouble = ask_description(gateway)
    st.markdown(introduction(description))
    classify, model, requests = st.tabs(["Classify", "Model card", "Request examples"])
    with classify:
        show_photos(gateway, description, trouble)
    with model:
        if description:
            card.show(description)
        else:
            results.show_failed([], trouble, "retry-card")
    with requests:
        show_examples(address, bool(gateway.key))


def choose_gateway() -> tuple[Gateway, str]:
    """The endpoint and key in use, from where `settings` says, and the address that others know it by."""
    given = settings.read_given(os.environ)
    is_open = settings.may_choose(given, st.get_option("server.address"))
    default = given.endpoint or settings.DEFAULT_ENDPOINT
    with st.sidebar:
        st.markdown("**Endpoint**")
        typed = st.text_input("Address", default, disabled=not is_open, key="endpoint")
        if not is_open:
            st.caption(
                "Set by whoever runs this page."
                if given.endpoint
                else "Fixed, since others can open this page: whoever runs it sets another one as LENSLET_ENDPOINT."
            )
        key = st.text_input("API key", type="password", autocomplete="off", key="key").strip()
        st.caption(
            "A key is set; one typed here is preferred."
            if given.key
            else "Only if the endpoint asks for one."
        )
    endpoint = settings.clean(typed) if is_open else default
    gateway = Gateway(endpoint, settings.key_for(endpoint, given, key))
    return gateway, settings.address_for_others(endpoint, given)


def has_wrong_secrets() -> bool:
    """Whether there is a secrets file that Streamlit could not read; it says so to nobody but its log."""
    return not st.secrets.load_if_toml_exists() and any(
        Path(name).exists() for name in st.get_option("secrets.files")
    )


def ask_description(gateway: Gateway) -> tuple[Description | None, str]:
    """What GET / says, or a sentence about why it does not."""
    try:
        return describe(gateway.url, gateway.key), ""
    except Failure as failure:
        return None, str(failure)


# Not asked at every move of a slider, but after a failure, which is not kept, at the next occasion.
@st.cache_data(ttl=15, max_entries=100, show_spinner=ASKING)
def describe(url: str, key: str) -> Description:
    return Gateway(url, key, attempts=2).describe()


def introduction(description: Description | None) -> str:
    labels = [str(label) for label in description["labels"]] if description else []
    known = f" It knows {markup.plain(both(labels))}." if 0 < len(labels) <= LABELS_IN_A_SENTENCE else ""
    return f"Give it a photo, and see what the model sees.{known}"


def show_photos(gateway: Gateway, description: Description | None, trouble: str) -> None:
    shots: dict[str, Shot] = st.session_state.setdefault("shots", {})
    given, removed = input_methods.take()
    for identity in removed:
        shots.pop(identity, None)
    for identity, shot in given.items():
        if identity not in shots:
            shot.name = distinct(shot, {other.name for other in shots.values()})
            shots[identity] = shot
    # Also those that a run before this one was stopped at.
    pending = [shot for shot in shots.values() if not shot.outcome]
    # Always there: what stands below would else be shown twice while its place changes.
    place = st.empty()
    # Emptied before anything is sent: what failed last time would else seem to have failed again.
    failures = st.empty() if pending else None
    if pending:
        send_all(pending, gateway, place)
        if trouble and any(shot.answer for shot in pending):
            st.rerun()  # the endpoint came up meanwhile: what it says of itself belongs to the answers
    with failures.container() if failures else st.container():
        results.show_failed(list(shots.values()), trouble, "retry")
    if shots:
        results.show(list(shots.values()), description["labels"] if description else None)
    else:
        st.html(markup.EMPTY)


def distinct(shot: Shot, taken: set[str]) -> str:
    """The photo's name, numbered if another has it: each camera picture is called the same. Links stay as they are."""
    if shot.is_link or shot.name not in taken:
        return shot.name
    path = PurePath(shot.name)
    names = (f"{path.stem} ({number}){path.suffix}" for number in count(2))
    return next(name for name in names if name not in taken)


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
