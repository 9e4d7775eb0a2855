"""Input methods: upload, link, camera, samples. Each returns photos by an identity that stays the same."""

import re
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

import gallery
import markup
from photos import data_url
from sent_photos import SentPhoto

FORMATS = "JPEG, PNG, WEBP, GIF, BMP, TIFF, AVIF or HEIC"
# Catches typing mistakes; the endpoint checks links thoroughly.
LINK = re.compile(r"(https?|s3)://[^\s/]+\S*", re.IGNORECASE)
LONGEST_LINK = 8192  # openapi.yaml, schema `Link`


def take(labels: Sequence[str]) -> tuple[dict[str, SentPhoto], set[str], str]:
    """Photos of the chosen input method, the identities of those that were removed from the uploader, and the method.

    On every run of the script, a photo has the same identity. Samples are offered if there are any of the `labels`.
    """
    methods: dict[str, Callable[[], dict[str, SentPhoto]]] = {
        "Upload": upload,
        "Link": link,
        "Camera": camera,
    }
    if samples := gallery.samples(labels):
        methods["Samples"] = partial(take_sample, samples)
    chosen = (
        st.segmented_control(
            "Input method", list(methods), default="Upload", required=True, key="input-method"
        )
        or "Upload"
    )
    # Only the chosen one: the browser asks for the camera as soon as its widget is on the page.
    given = methods[chosen]()
    for photo in given.values():
        photo.method = chosen
    # After another method the uploader is empty again, which does not mean that photos were removed.
    before = st.session_state.get("in_uploader", set()) if chosen == "Upload" else set()
    st.session_state.in_uploader = set(given) if chosen == "Upload" else set()
    return given, before - set(given), chosen


def upload() -> dict[str, SentPhoto]:
    files = st.file_uploader(
        f"Drop photos here, or choose them: {FORMATS}. Large ones are scaled down.",
        accept_multiple_files=True,
        key=f"upload-{reset_count()}",
    )
    return {file.file_id: SentPhoto(file.name, file.getvalue) for file in files}


def link() -> dict[str, SentPhoto]:
    with st.form("link", border=False):
        address = st.text_input(
            "Link to a photo", placeholder="https://…", max_chars=LONGEST_LINK, key=f"link-{reset_count()}"
        ).strip()
        is_sent = st.form_submit_button("Classify the link", icon=":material/link:")
    st.caption("The endpoint fetches the photo, from public addresses only; this page does not.")
    if not is_sent:
        return {}
    if not LINK.fullmatch(address):
        st.warning(
            "A link begins with https://, http:// or s3:// and has no spaces.", icon=":material/link_off:"
        )
        return {}
    return {uuid.uuid4().hex: SentPhoto(address, is_link=True)}


def camera() -> dict[str, SentPhoto]:
    st.caption(
        "Your browser asks for permission first. If it does not, or if you refused, allow the camera in the browser's "
        "settings of this page, or upload a photo instead. Browsers allow cameras only on https:// or on localhost."
    )
    photo = st.camera_input("Take a photo", resolution="720p", key=f"camera-{reset_count()}")
    return {photo.file_id: SentPhoto("camera.jpg", photo.getvalue)} if photo else {}


def take_sample(samples: Sequence[gallery.Sample]) -> dict[str, SentPhoto]:
    if gallery.are_drawings():
        st.caption(
            "Drawings made by a program: not photos, so the answers say little about the model's accuracy."
        )
    else:
        st.caption("Photos that came with the model: it may have learned from them.")
    chosen = []
    with st.container(key="samples"):
        for sample in samples:
            with st.container():
                st.html(markup.picture(thumbnail(sample.path), sample.name))
                if st.button(f"Try {sample.scene}", width="stretch", key=f"try-{sample.scene}"):
                    chosen.append(sample)
    if st.button("Try all of them", icon=":material/select_all:", key="try-all"):
        chosen = list(samples)
    return {uuid.uuid4().hex: SentPhoto(f"{sample.scene}.jpg", sample.path.read_bytes) for sample in chosen}


@st.cache_data
def thumbnail(path: Path) -> str:
    return data_url(path.read_bytes(), "jpeg")


def reset_count() -> int:
    """Part of the widgets' keys: a new key empties a widget."""
    return int(st.session_state.get("reset_count", 0))
