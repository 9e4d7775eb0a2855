"""The ways a photo comes in: upload, link, camera, sample drawings. Each gives photos by an identity of their own."""

import re
import uuid
from pathlib import Path

import streamlit as st

import gallery
import markup
from photos import data_url
from sent_photos import Shot

FORMATS = "JPEG, PNG, WEBP, GIF, BMP or TIFF"
# What the endpoint looks at more closely; this only catches slips of the pen.
LINK = re.compile(r"(https?|s3)://[^\s/]+\S*", re.IGNORECASE)
LONGEST_LINK = 8192  # openapi.yaml, schema `Link`


def take() -> tuple[dict[str, Shot], set[str]]:
    """The photos of the way that is chosen, and the identities of those that were taken out of the uploader again.

    A photo that was given before comes again with the same identity.
    """
    chosen = st.segmented_control(
        "Way to give a photo", list(WAYS), default="Upload", required=True, key="way"
    )
    # Each way only when chosen: a camera on a page is asked for as soon as it is there.
    given = WAYS[chosen or "Upload"]()
    # The uploader comes back empty after another way, which takes no photo out.
    before = st.session_state.get("in_uploader", set()) if chosen == "Upload" else set()
    st.session_state.in_uploader = set(given) if chosen == "Upload" else set()
    return given, before - set(given)


def upload() -> dict[str, Shot]:
    files = st.file_uploader(
        f"Drop photos here, or choose them: {FORMATS}. Large ones are scaled down.",
        accept_multiple_files=True,
        key=f"upload-{turn()}",
    )
    return {file.file_id: Shot(file.name, file.getvalue) for file in files}


def link() -> dict[str, Shot]:
    with st.form("link", border=False):
        address = st.text_input(
            "Link to a photo", placeholder="https://…", max_chars=LONGEST_LINK, key=f"link-{turn()}"
        ).strip()
        is_sent = st.form_submit_button("Classify the link", icon=":material/link:")
    st.caption("The endpoint fetches it, from public addresses only; this page does not.")
    if not is_sent:
        return {}
    if not LINK.fullmatch(address):
        st.warning(
            "A link begins with https://, http:// or s3:// and has no spaces.", icon=":material/link_off:"
        )
        return {}
    return {uuid.uuid4().hex: Shot(address, is_link=True)}


def camera() -> dict[str, Shot]:
    st.caption(
        "Your browser asks first. If it does not, or if you refused, allow the camera in the browser's settings of "
        "this page, or upload a photo instead. Browsers give cameras only to pages on https:// or on this computer."
    )
    photo = st.camera_input("Take a photo", resolution="720p", key=f"camera-{turn()}")
    return {photo.file_id: Shot("camera.jpg", photo.getvalue)} if photo else {}


def drawings() -> dict[str, Shot]:
    samples = gallery.samples()
    if not samples:
        st.info("This page was installed without its sample pictures: upload a photo instead.")
        return {}
    st.caption("Drawings made by a program of this project: no photos, and no measure of the model.")
    chosen = []
    with st.container(key="samples"):
        for sample in samples:
            with st.container():
                st.html(markup.picture(thumbnail(sample.path), sample.name))
                if st.button(f"Try {sample.scene}", width="stretch", key=f"try-{sample.scene}"):
                    chosen.append(sample)
    if st.button("Try all of them", icon=":material/select_all:", key="try-all"):
        chosen = samples
    return {uuid.uuid4().hex: Shot(f"{sample.scene}.jpg", sample.path.read_bytes) for sample in chosen}


WAYS = {"Upload": upload, "Link": link, "Camera": camera, "Samples": drawings}


@st.cache_data
def thumbnail(path: Path) -> str:
    return data_url(path.read_bytes(), "jpeg")


def turn() -> int:
    """Part of the widgets' keys: it changes when everything starts over."""
    return int(st.session_state.get("round", 0))
