"""Photos given to the page, sent to the endpoint a few at a time; a failure of one does not stop the others."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from uuid import uuid4

from answers import Answer, Row
from client import PHOTO_CODES, Failure, Gateway
from photos import PhotoError, prepare

logger = logging.getLogger(__name__)

AT_ONCE = 3
TICK_S = 0.2
WAKING_AFTER_S = 1.5  # a warm endpoint answers sooner
MISTAKE = "This page failed on the photo: its log says why. Try another one."


@dataclass(frozen=True)
class Outcome:
    """Result of sending one photo: an answer, or a sentence that says why there is none."""

    answer: Answer | None = None
    error: str = ""
    may_pass: bool = False  # a later attempt, or one with another key, may succeed
    seconds: float = 0.0
    attempts: int = 1
    note: str = ""  # what the page did to the photo
    preview: bytes | None = None


@dataclass(frozen=True)
class Correction:
    """Result of a correction: the name under which it is stored, or why it is not."""

    identity: str = ""
    error: str = ""


@dataclass
class SentPhoto:
    """One photo: its name or link, how to read its bytes (the page fetches no links), and the result of sending it."""

    name: str
    read: Callable[[], bytes] | None = None
    is_link: bool = False
    outcome: Outcome | None = None
    method: str = ""  # of input
    correction: Correction | None = None
    identity: str = field(default_factory=lambda: uuid4().hex)

    @property
    def answer(self) -> Answer | None:
        return self.outcome.answer if self.outcome else None

    @property
    def row(self) -> Row:
        return Row(self.name, self.answer, self.outcome.error if self.outcome else "not sent yet")


@dataclass(frozen=True)
class Progress:
    """Progress of sending; `is_waking`: the endpoint is reachable, but slow or asks to wait."""

    done: int
    total: int
    is_waking: bool


def send(photos: Sequence[SentPhoto], gateway: Gateway, tell: Callable[[Progress], None]) -> None:
    """Set the outcome of every photo. `tell` is called from this thread, several times a second."""
    asked: list[float] = []  # start times of the requests; preparing a photo may take longer than its request
    waits: list[Failure] = []
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        futures: dict[Future[Outcome], SentPhoto] = {
            pool.submit(outcome_of, photo, gateway, asked.append, waits.append): photo for photo in photos
        }
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, TICK_S, FIRST_COMPLETED)
            for future in done:
                photo = futures[future]
                photo.outcome = future.result()
                if photo.answer:
                    photo.read = None  # frees its bytes; those of a failed photo are kept for another attempt
            answered = len(futures) - len(waiting)
            is_slow = bool(waits) or (bool(asked) and time.monotonic() - asked[0] > WAKING_AFTER_S)
            is_down = bool(waits) and waits[-1].code == "down"
            tell(Progress(answered, len(futures), is_slow and not is_down and not answered))
    finally:
        # When Streamlit restarts the script, it raises an exception out of `tell`.
        pool.shutdown(wait=False, cancel_futures=True)


def outcome_of(
    photo: SentPhoto, gateway: Gateway, on_ask: Callable[[float], None], on_wait: Callable[[Failure], None]
) -> Outcome:
    small, note = None, ""
    try:
        content: bytes | str = photo.name
        if photo.read:
            prepared = prepare(photo.read())
            content, note, small = prepared.data, prepared.note, prepared.preview
        on_ask(time.monotonic())
        answer, reply = gateway.classify(content, on_wait)
        return Outcome(answer, seconds=reply.seconds, attempts=reply.attempts, note=note, preview=small)
    except PhotoError as failure:
        return Outcome(error=str(failure))
    except Failure as failure:
        may_pass = failure.code not in PHOTO_CODES
        return Outcome(error=str(failure), may_pass=may_pass, note=note, preview=small)
    except Exception:  # a bug of the page must not stop the other photos
        logger.exception("a photo could not be sent")
        return Outcome(error=MISTAKE, may_pass=True)
