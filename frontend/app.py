"""The Streamlit page: classify photos, and show what the model found in them.

    streamlit run frontend/app.py

It calls the endpoint that `settings` names over HTTP, like any other client, and holds no model.
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
import training
from answers import both
from client import Failure, Gateway
from sent_photos import Progress, SentPhoto, send

FOLDER = Path(__file__).parent
WAKING = "The endpoint is starting: the first answer may take some seconds."
ASKING = "Asking the endpoint… If it is only just starting, that takes some seconds."
WRONG_SECRETS = (
    "The file secrets.toml cannot be read and is ignored: is all text in it in quotes? The page's log says what is "
    "wrong."
)
LABELS_IN_A_SENTENCE = 12
Description = Mapping[str, Any]


def main() -> None:
    st.set_page_config("Lenslet", FOLDER / "icon.svg", layout="wide")
    st.html(FOLDER / "page.css")
    if has_wrong_secrets():
        st.error(WRONG_SECRETS, icon=":material/key_off:")
    gateway, address = choose_gateway()
    description, trouble = ask_description(gateway)
    name = str(description.get("name", "")) if description else ""
    st.title(markup.plain(name.replace("_", " ")) or "Lenslet", anchor=False)
    st.markdown(introduction(description))
    trains = description is not None and training.is_offered(gateway.url, gateway.key)
    classify, model, requests, *others = st.tabs(
        ["Classify", "Model card", "Request examples", *["Training"] * trains]
    )
    with classify:
        show_photos(gateway, description, trouble)
    with model:
        if description:
            card.show(description)
        else:
            results.show_failed([], trouble, "retry-card")
    with requests:
        show_examples(address, bool(gateway.key))
    for tab in others:
        with tab:
            training.show(gateway.url)


def choose_gateway() -> tuple[Gateway, str]:
    """The endpoint and key in use, and the address for request examples; see `settings` for their sources."""
    given = settings.read_given(os.environ)
    is_open = settings.may_choose(given, st.get_option("server.address"))
    default = given.endpoint or settings.DEFAULT_ENDPOINT
    with st.sidebar:
        st.markdown("**Endpoint**")
        typed = st.text_input("Address", default, disabled=not is_open, key="endpoint")
        if not is_open:
            st.caption(
                "Set by the operator of this page."
                if given.endpoint
                else "Fixed, because this page is public: its operator sets another one as LENSLET_ENDPOINT."
            )
        key = st.text_input("API key", type="password", autocomplete="off", key="key").strip()
        st.caption(
            "A key is set; one typed here takes precedence."
            if given.key
            else "Only if the endpoint asks for one."
        )
    endpoint = settings.clean(typed) if is_open else default
    gateway = Gateway(endpoint, settings.key_for(endpoint, given, key))
    return gateway, settings.address_for_others(endpoint, given)


def has_wrong_secrets() -> bool:
    """Whether there is a secrets file that Streamlit could not read, which it reports in its log only."""
    return not st.secrets.load_if_toml_exists() and any(
        Path(name).exists() for name in st.get_option("secrets.files")
    )


def ask_description(gateway: Gateway) -> tuple[Description | None, str]:
    """The answer to GET /, or a sentence that says why there is none."""
    try:
        return describe(gateway.url, gateway.key), ""
    except Failure as failure:
        return None, str(failure)


# Cached, because Streamlit reruns the script at every move of a slider; failures are not cached.
@st.cache_data(ttl=15, max_entries=100, show_spinner=ASKING)
def describe(url: str, key: str) -> Description:
    return Gateway(url, key, attempts=2).describe()


def introduction(description: Description | None) -> str:
    labels = labels_of(description)
    known = f" It knows {markup.plain(both(labels))}." if 0 < len(labels) <= LABELS_IN_A_SENTENCE else ""
    return (
        f"Give it a photo, and see the label, how certain the model is, and what its answer rests on.{known}"
    )


def labels_of(description: Description | None) -> list[str]:
    return [str(label) for label in description["labels"]] if description else []


def show_photos(gateway: Gateway, description: Description | None, trouble: str) -> None:
    photos: dict[str, SentPhoto] = st.session_state.setdefault("sent_photos", {})
    given, removed, method = input_methods.take(labels_of(description))
    # Errors of another input method are answered by leaving it.
    left = {
        each
        for each, photo in photos.items()
        if photo.outcome and not photo.answer and photo.method != method
    }
    for identity in removed | left:
        photos.pop(identity, None)
    for identity, photo in given.items():
        if identity not in photos:
            photo.name = distinct(photo, {other.name for other in photos.values()})
            photos[identity] = photo
    # Includes photos that an interrupted run of the script left unsent.
    pending = [photo for photo in photos.values() if not photo.outcome]
    # Always present: otherwise elements below it are shown twice while their position changes.
    place = st.empty()
    # Emptied before sending: otherwise old failures look like new ones.
    failures = st.empty() if pending else None
    if pending:
        send_all(pending, gateway, place)
        if trouble and any(photo.answer for photo in pending):
            st.rerun()  # the endpoint came up meanwhile: show its description beside the answers
    with failures.container() if failures else st.container():
        results.show_failed(list(photos.values()), trouble, "retry")
    if photos:
        takes_feedback = bool(description and description.get("takes_feedback"))
        results.show(
            list(photos.values()),
            description["labels"] if description else None,
            corrected_at=gateway if takes_feedback else None,
        )
    else:
        st.html(markup.EMPTY)


def distinct(photo: SentPhoto, taken: set[str]) -> str:
    """The photo's name, numbered if it is taken: all camera pictures have the same. Links stay as they are."""
    if photo.is_link or photo.name not in taken:
        return photo.name
    path = PurePath(photo.name)
    names = (f"{path.stem} ({number}){path.suffix}" for number in count(2))
    return next(name for name in names if name not in taken)


def send_all(pending: list[SentPhoto], gateway: Gateway, place: DeltaGenerator) -> None:
    def tell(progress: Progress) -> None:
        place.progress(progress.done / progress.total, text=words_of(progress))

    tell(Progress(0, len(pending), is_waking=False))
    send(pending, gateway, tell)
    place.empty()


def words_of(progress: Progress) -> str:
    if progress.is_waking:
        return WAKING
    return f"Classifying photo {min(progress.done + 1, progress.total):,} of {progress.total:,}…"


def show_examples(address: str, has_key: bool) -> None:
    st.header("Ask the endpoint yourself", anchor=False)
    st.markdown("Each of these sends the file `photo.jpg` of the working directory, and prints the answer.")
    if has_key:
        st.markdown("The key is read from the environment: `export LENSLET_API_KEY=…` first.")
    for name, write in examples.LANGUAGES.items():
        st.subheader(name, anchor=False)
        # No language: the contrast of Streamlit's syntax colours is too low, above all on light pages.
        st.code(write(address, has_key), language=None, wrap_lines=True)


if __name__ == "__main__":
    main()
