"""Photos that were given to the page, and how they are sent: a few at a time, none stopped by another's failure."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

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
    """What became of one photo: an answer, or a sentence that says why there is none."""

    answer: Answer | None = None
    error: str = ""
    may_pass: bool = False  # a later attempt, or one with another key, may succeed
    seconds: float = 0.0
    attempts: int = 1
    note: str = ""  # what the page did to the photo
    preview: bytes | None = None


@dataclass
class Shot:
    """One photo: its name or link, how to read its bytes (no link is read here), and what became of it."""

    name: str
    read: Callable[[], bytes] | None = None
    is_link: bool = False
    outcome: Outcome | None = None

    @property
    def answer(self) -> Answer | None:
        return self.outcome.answer if self.outcome else None

    @property
    def row(self) -> Row:
        return Row(self.name, self.answer, self.outcome.error if self.outcome else "not sent yet")


@dataclass(frozen=True)
class Progress:
    """How far sending has come; `is_waking`: the endpoint is there, but takes long or asks to wait."""

    done: int
    total: int
    is_waking: bool


def send(shots: Sequence[Shot], gateway: Gateway, tell: Callable[[Progress], None]) -> None:
    """Give every shot its outcome. `tell` is called from this thread, several times a second."""
    asked: list[float] = []  # when, of each photo; preparing it may take longer than asking
    waits: list[Failure] = []
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        futures: dict[Future[Outcome], Shot] = {
            pool.submit(outcome_of, shot, gateway, asked.append, waits.append): shot for shot in shots
        }
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, TICK_S, FIRST_COMPLETED)
            for future in done:
                shot = futures[future]
                shot.outcome = future.result()
                if shot.answer:
                    shot.read = None  # its bytes may go; those of a failed one are for trying again
            answered = len(futures) - len(waiting)
            is_slow = bool(waits) or (bool(asked) and time.monotonic() - asked[0] > WAKING_AFTER_S)
            is_down = bool(waits) and waits[-1].code == "down"
            tell(Progress(answered, len(futures), is_slow and not is_down and not answered))
    finally:
        # Streamlit ends a script that is started anew with an exception out of `tell`.
        pool.shutdown(wait=False, cancel_futures=True)


def outcome_of(
    shot: Shot, gateway: Gateway, on_ask: Callable[[float], None], on_wait: Callable[[Failure], None]
) -> Outcome:
    small, note = None, ""
    try:
        photo: bytes | str = shot.name
        if shot.read:
            prepared = prepare(shot.read())
            photo, note, small = prepared.data, prepared.note, prepared.preview
        on_ask(time.monotonic())
        answer, reply = gateway.classify(photo, on_wait)
        return Outcome(answer, seconds=reply.seconds, attempts=reply.attempts, note=note, preview=small)
    except PhotoError as failure:
        return Outcome(error=str(failure))
    except Failure as failure:
        may_pass = failure.code not in PHOTO_CODES
        return Outcome(error=str(failure), may_pass=may_pass, note=note, preview=small)
    except Exception:  # a mistake of this page's own must not stop the other photos
        logger.exception("a photo could not be sent")
        return Outcome(error=MISTAKE, may_pass=True)
