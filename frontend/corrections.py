"""Under an answer: "wrong? it is …", which sends the photo and its right label to the endpoint's operator."""

from collections.abc import Sequence

import streamlit as st

import markup
from answers import in_words
from client import Failure, Gateway
from sent_photos import Correction, SentPhoto

NONE, NONE_OF_THESE = -1, "none of these"
CONSENT = (
    "If you send it, the operator of this endpoint keeps the photo, without its name, place and camera, and your "
    "answer. People look at both, and a later model may learn from them. Send only photos that you may share."
)


def show(photo: SentPhoto, labels: Sequence[str], gateway: Gateway) -> None:
    """Nothing for a photo that this page cannot encode: its bytes are not kept after the answer."""
    content = content_of(photo)
    if content is None:
        return
    if photo.correction and not photo.correction.error:
        st.success(f"Thank you. It was sent as {photo.correction.identity}.", icon=":material/check:")
        return
    # By number: a label may read "none of these", too.
    choices = [*range(len(labels)), NONE]
    with st.expander("Wrong? It is …"):
        number = st.selectbox(
            "The right label",
            choices,
            index=None,
            format_func=lambda number: NONE_OF_THESE if number == NONE else in_words(labels[number]),
            placeholder="Choose it",
            key=f"right-{photo.identity}",
        )
        st.caption(CONSENT)
        if st.button("Agree and send", disabled=number is None, key=f"correct-{photo.identity}"):
            send(photo, content, None if number in (None, NONE) else labels[number], gateway)
        if photo.correction:
            st.error(markup.plain(photo.correction.error), icon=":material/error:")


def content_of(photo: SentPhoto) -> bytes | str | None:
    """The link, or the upright JPEG of 720 pixels that the page shows, which has no metadata."""
    if photo.is_link:
        return photo.name
    return photo.outcome.preview if photo.outcome else None


def send(photo: SentPhoto, content: bytes | str, label: str | None, gateway: Gateway) -> None:
    with st.spinner("Sending…"):
        try:
            photo.correction = Correction(gateway.correct(content, label))
        except Failure as failure:
            photo.correction = Correction(error=str(failure))
            return
    st.rerun()
