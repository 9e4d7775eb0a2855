"""Results of the photos that were sent: a card for each, the table, the CSV file, and the failures."""

from collections.abc import Sequence

import altair
import streamlit as st

import corrections
import markup
from answers import Answer, in_short, in_words, least_certain_first, percent, to_csv
from client import Gateway
from photos import data_url
from sent_photos import Outcome, SentPhoto

CARDS_IN_A_ROW = 3
CARDS_ON_A_PAGE = 12
BAR_HEIGHT = 26  # pixels
TALLEST_CHART = 420  # higher ones scroll, as do tables
ROWS_SHOWN, TALLEST_TABLE = 8, 340
POSSIBLE, EXCLUDED = "#2a9d94", "#87929b"  # contrast of at least 3 : 1 on light and dark pages
INK = {"light": "#1f2933", "dark": "#e9edf0"}  # textColor of .streamlit/config.toml


def show(
    photos: Sequence[SentPhoto], labels: Sequence[str] | None, corrected_at: Gateway | None = None
) -> None:
    """Everything about `photos` except errors; `labels` in the model's order, None if GET / did not answer.

    `corrected_at`: the endpoint, if it takes corrections.
    """
    answered = least_certain_first((photo, photo.answer) for photo in photos if photo.answer)
    failed = [photo for photo in photos if photo.outcome and not photo.answer]
    # The answer comes first: on a phone, controls above it would push it off the screen.
    if answered:
        st.header("What the model found", anchor=False)
    has_map = any(answer.grid for _, answer in answered)
    if len(photos) > 1:
        show_table(answered, failed, labels)
        if answered:
            show_controls(has_map)
    show_cards(answered, labels or (), corrected_at)
    if answered and len(photos) == 1:
        show_controls(has_map)
    st.button("Start over", icon=":material/restart_alt:", on_click=start_over, key="start-over")


def start_over() -> None:
    """Forget every photo; new widget keys empty the widgets."""
    st.session_state.sent_photos = {}
    st.session_state.reset_count = st.session_state.get("reset_count", 0) + 1


def show_failed(photos: Sequence[SentPhoto], trouble: str, key: str) -> None:
    """`trouble` with the endpoint and each photo without an answer; a button if another attempt may succeed."""
    if trouble:
        st.error(markup.plain(trouble), icon=":material/cloud_off:")
    failed = [(photo, photo.outcome) for photo in photos if photo.outcome and not photo.answer]
    for photo, outcome in failed:
        st.error(f"**{markup.plain(photo.name)}**\n\n{markup.plain(outcome.error)}", icon=":material/error:")
    again = [photo for photo, outcome in failed if outcome.may_pass]
    if trouble or again:
        st.button("Try again", icon=":material/refresh:", on_click=forget_outcomes, args=(again,), key=key)


def forget_outcomes(failed: Sequence[SentPhoto]) -> None:
    for photo in failed:
        photo.outcome = None


def show_controls(has_map: bool) -> None:
    if not has_map:
        st.caption(
            "No explanation of this model's answers says more than a circle at the centre of the photo would, "
            "so none is shown."
        )
        return
    left, middle, right = st.columns([4, 3, 3], gap="medium", vertical_alignment="center")
    with left:
        is_shown = st.toggle("Show what the answer rests on", value=True, key="map")
    with middle:
        opacity = st.slider(
            "Opacity of the map", 0, 100, 70, step=5, format="%d %%", disabled=not is_shown, key="opacity"
        )
    with right:
        st.html(markup.scale())
    st.html(markup.map_style(is_shown, opacity / 100))


def show_table(
    answered: Sequence[tuple[SentPhoto, Answer]], failed: Sequence[SentPhoto], labels: Sequence[str] | None
) -> None:
    """The answered photos, least certain first, and all of them as a file."""
    if answered:
        is_tall = len(answered) > ROWS_SHOWN
        with st.container(height=TALLEST_TABLE if is_tall else "content", border=False, key="answers"):
            st.table(table(answered), border="horizontal", hide_index=True)
    columns = labels or sorted({label for _, answer in answered for label, _ in answer.ranked})
    rows = [photo.row for photo, _ in answered] + [photo.row for photo in failed]
    st.download_button(
        "Download CSV",
        to_csv(rows, columns),
        "lenslet.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def table(answered: Sequence[tuple[SentPhoto, Answer]]) -> list[dict[str, str]]:
    """Few columns, whose words wrap on a phone."""
    return [
        {
            "photo": markup.plain(photo.name),
            "label": markup.plain(in_words(answer.label)),
            "probability": percent(answer.probability),
            "verdict": markup.plain(in_short(answer)),
        }
        for photo, answer in answered
    ]


def show_cards(
    answered: Sequence[tuple[SentPhoto, Answer]], labels: Sequence[str], corrected_at: Gateway | None
) -> None:
    pages = -(-len(answered) // CARDS_ON_A_PAGE)
    page = st.pagination(pages, key=f"page-{pages}") if pages > 1 else 1
    shown = answered[(page - 1) * CARDS_ON_A_PAGE : page * CARDS_ON_A_PAGE]
    across = min(CARDS_IN_A_ROW, len(answered))
    # Row by row: on a phone columns are stacked, and the order must hold there too.
    for first in range(0, len(shown), max(across, 1)):
        for column, (photo, answer) in zip(st.columns(across), shown[first : first + across], strict=False):
            with column, st.container(border=True, height="stretch"):
                show_card(photo, answer, is_wide=len(answered) == 1)
                if corrected_at:
                    corrections.show(photo, labels, corrected_at)


def show_card(photo: SentPhoto, answer: Answer, is_wide: bool) -> None:
    """One photo: picture with map, text, chart. If there is only one, its label is above both columns.

    On a phone, where these are stacked, the label would else be below the picture, off the screen.
    """
    outcome = photo.outcome or Outcome()
    if is_wide:
        st.html(markup.words(answer))
    left, right = st.columns(2, gap="medium") if is_wide else (st.container(), st.container())
    source = source_of(photo, outcome)
    with left:
        if source:
            st.html(markup.photo(source, photo.name, answer))
        else:
            st.caption("A browser cannot show this photo.")
    with right:
        if not is_wide:
            st.html(markup.words(answer))
        st.html(markup.small_print([*facts(outcome, answer), photo.name]))
        show_chart(answer, is_wide)


def source_of(photo: SentPhoto, outcome: Outcome) -> str | None:
    """Source of the picture. The browser loads a link itself: the page's server fetches no links of its visitors."""
    if photo.is_link:
        return photo.name if photo.name.lower().startswith(("http://", "https://")) else None
    return data_url(outcome.preview, "jpeg") if outcome.preview else None


def facts(outcome: Outcome, answer: Answer) -> list[str]:
    found = []
    if answer.grid:
        found.append(f"{markup.evidence(answer)}.")
    tries = f", at attempt {outcome.attempts}" if outcome.attempts > 1 else ""
    found.append(f"Answered in {outcome.seconds * 1000:,.0f} ms{tries}.")
    return found + [outcome.note] * bool(outcome.note)


def show_chart(answer: Answer, is_wide: bool) -> None:
    """A bar for the probability of every label; labels of the prediction set are highlighted."""
    rows = [
        {
            "label": in_words(label),
            "probability": probability,
            "text": percent(probability),
            "possible": label in answer.possible,
        }
        for label, probability in answer.ranked
    ]
    ink = INK.get(st.context.theme.type or "light", INK["light"])
    axis = altair.Axis(
        labelLimit=130, labelColor=ink, labelFontSize=13, labelOverlap=False, ticks=False, domain=False
    )
    base = altair.Chart(altair.InlineData(values=rows)).encode(
        y=altair.Y("label:N", sort=None, title=None, axis=axis),
        # Leaves room for the text beside the longest bar.
        x=altair.X(
            "probability:Q", title=None, axis=None, scale=altair.Scale(domain=[0, 1.35 if is_wide else 1.75])
        ),
        tooltip=[altair.Tooltip("label:N"), altair.Tooltip("text:N", title="probability")],
    )
    colour = altair.condition(altair.datum.possible, altair.value(POSSIBLE), altair.value(EXCLUDED))
    bars = base.mark_bar(cornerRadius=3, minBandSize=2).encode(color=colour)
    numbers = base.mark_text(align="left", dx=5, fontSize=13, color=ink).encode(text="text:N")
    is_tall = BAR_HEIGHT * len(rows) > TALLEST_CHART
    alt = ", ".join(f"{in_words(label)} {percent(probability)}" for label, probability in answer.ranked)
    with st.container(height=TALLEST_CHART if is_tall else "content", border=False):
        st.altair_chart(
            (bars + numbers).properties(height=altair.Step(BAR_HEIGHT)), alt=f"Probabilities: {alt}"
        )
