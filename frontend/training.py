"""The tab "Training": what `lenslet serve --with-training` does, what came of it, and the buttons for both."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

import markup
from client import Failure, Gateway

# Codes with which POST /train asks for its key; an endpoint without trainings has none of them.
KEY_CODES = ("training_key_missing", "training_key_refused")
STATES = {
    "idle": "No training was started here yet.",
    "running": "A training is running.",
    "registered": "The last training made a model that passed the gate: it is registered as candidate.",
    "refused": "The last training made a model that the gate refused: the model in use stays.",
    "failed": "The last training failed: the log below says why. The next one continues it.",
    "interrupted": "The last training was interrupted: the next one continues it.",
}
STAGES = ("train", "convert", "evaluate", "register")
REFRESH_S = 3


# Cached, because Streamlit reruns the script at every move of a slider.
@st.cache_data(ttl=60, max_entries=100, show_spinner=False)
def is_offered(url: str, key: str) -> bool:
    """Whether the endpoint trains; asked without the key for it, which nobody has typed yet."""
    try:
        Gateway(url, key, attempts=1).ask("GET", "/train")
    except Failure as failure:
        return failure.code in KEY_CODES
    return False


def show(url: str) -> None:
    st.header("Training", anchor=False)
    st.markdown(
        "Trains a new model on the photos that people have labelled since. It replaces the model in use only if you "
        "promote it, and you can only if it passed the gate."
    )
    key = st.text_input("Training key", type="password", autocomplete="off", key="training-key").strip()
    if not key:
        st.caption("The operator has it: its hash is in LENSLET_TRAINING_KEYS.")
        return
    show_state(url, key)


@st.fragment(run_every=REFRESH_S)
def show_state(url: str, key: str) -> None:
    gateway = Gateway(url, key, attempts=1)
    try:
        state = gateway.ask("GET", "/train").content
    except Failure as failure:
        st.error(markup.plain(str(failure)), icon=":material/error:")
        return
    st.markdown(STATES.get(str(state.get("state")), "The endpoint says nothing that this page knows."))
    is_running = state.get("state") == "running"
    if is_running and state.get("stage") in STAGES:
        done = STAGES.index(state["stage"])
        st.progress(done / len(STAGES), text=f"Step {done + 1} of {len(STAGES)}: {state['stage']}")
    show_figures(state.get("figures") or {})
    left, right = st.columns(2)
    left.button(
        "Start a training",
        disabled=is_running,
        on_click=send,
        args=(gateway, "/train"),
        icon=":material/model_training:",
        key="train",
    )
    right.button(
        "Promote the candidate",
        disabled=not state.get("can_promote"),
        on_click=send,
        args=(gateway, "/train/promote"),
        icon=":material/publish:",
        key="promote",
    )
    if said := st.session_state.get("training-said"):
        st.info(markup.plain(said))
    if state.get("lines"):
        st.code("\n".join(map(str, state["lines"])), language=None, wrap_lines=True)


def show_figures(figures: Mapping[str, Any]) -> None:
    """Accuracy of the model in use and of the new one, on the same test photos."""
    before, after = figures.get("before"), figures.get("after")
    if not after:
        return
    left, right = st.columns(2)
    if before:
        left.metric("Accuracy before", f"{before['accuracy']:.1%}", help=interval(before))
    change = f"{100 * (after['accuracy'] - before['accuracy']):+.1f} points" if before else None
    right.metric("Accuracy after", f"{after['accuracy']:.1%}", change, help=interval(after))


def interval(figures: Mapping[str, Any]) -> str:
    low, high = figures.get("accuracy_low"), figures.get("accuracy_high")
    between = f"95 % interval {low:.1%} to {high:.1%}; " if low is not None and high is not None else ""
    return f"{between}{figures.get('photos', 0):,.0f} test photos"


def send(gateway: Gateway, path: str) -> None:
    """POST, before the script runs again and shows what was said."""
    try:
        content = gateway.ask("POST", path).content
        started = f"Training {content.get('id')} was started."
        said = f"{content['promoted']}. Restart the endpoint with it." if "promoted" in content else started
    except Failure as failure:
        said = str(failure)
    st.session_state["training-said"] = said
