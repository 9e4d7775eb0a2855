"""Retraining over HTTP, for people who run `lenslet serve --with-training` on their own machine.

    POST /train           202 with an id, or 409 while one runs
    GET /train            state, stage, figures before and after, last lines of the log
    POST /train/promote   the candidate becomes the production model, which the registry gives to the next start

These paths have a key of their own, whose SHA-256 hash is in LENSLET_TRAINING_KEYS. The Lambda function has none of
them: they start processes of `lenslet retrain`, and everything they say is in the files of its folder.
"""

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

from lenslet.inference.errors import InputError, KeyMissing, KeyRefused
from lenslet.inference.folder_lock import folder_lock, is_held_by, is_locked
from lenslet.inference.json_text import parse_json
from lenslet.serving.access import KEY_HASH, Access
from lenslet.serving.gateway import HttpRequest
from lenslet.serving.settings import read_entries

TRAIN_PATH, PROMOTE_PATH = "/train", "/train/promote"
METHODS = {TRAIN_PATH: ("GET", "POST"), PROMOTE_PATH: ("POST",)}
STAGES = 4
LAST_LINES, LAST_BYTES = 20, 20_000
START_S = 30.0  # until a started process holds the folder's lock
PROMOTE_S = 120
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Training:
    """What `lenslet serve` was told about trainings: the words of `lenslet retrain`, its folder and its files."""

    words: tuple[str, ...]
    folder: Path
    state_path: Path
    log_path: Path
    access: Access

    def answer(self, request: HttpRequest) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a request to one of METHODS."""
        if request.method == "OPTIONS":
            return 204, {}
        try:
            self.access.check_key(request.headers)
        except (KeyMissing, KeyRefused) as error:
            # Codes of their own: the page tells by them that there is something to be opened with another key.
            return error.status, refused(
                f"training_{error.code}", f"trainings have a key of their own: {error}"
            )
        if request.method not in METHODS[request.path]:
            return 405, refused("method_not_allowed", f"this path takes {', '.join(METHODS[request.path])}")
        if request.path == PROMOTE_PATH:
            return self.promote()
        return self.start() if request.method == "POST" else (200, self.state())

    def start(self) -> tuple[int, dict[str, Any]]:
        """Start a training, and wait until it holds the lock, so that no two are answered 202."""
        try:
            with folder_lock(self.folder / "starting", "POST /train"):
                if is_locked(self.folder):
                    return 409, refused(
                        "training_runs", "a training is running: GET /train says how far it is"
                    )
                identity = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
                self._spawn(identity)
        except InputError:
            return 409, refused("training_runs", "a training is being started")
        return 202, {"id": identity}

    def _spawn(self, identity: str) -> None:
        with self.log_path.open("ab") as log:
            # No word of a request is among these, and there is no shell.
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "lenslet", "retrain", *self.words, "--id", identity],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it outlives the server
            )
        Thread(target=process.wait, daemon=True).start()
        deadline = time.monotonic() + START_S
        while not is_held_by(self.folder, process.pid) and time.monotonic() < deadline:
            if process.poll() is not None:
                return
            time.sleep(0.05)

    def state(self) -> dict[str, Any]:
        """What state.json says, whether a training runs, and the last lines of its log."""
        saved = self._saved()
        is_running = is_locked(self.folder)
        ended = saved.get("result") or ("interrupted" if saved else "idle")
        return {
            "state": "running" if is_running else ended,
            "id": saved.get("id"),
            "stage": saved.get("stage") if is_running or ended == "interrupted" else None,
            "stages": STAGES,
            "labels": saved.get("rows"),
            "started": saved.get("started"),
            "ended": saved.get("ended") or None,
            "figures": saved.get("figures", {}),
            "can_promote": not is_running and saved.get("result") == "registered",
            "lines": last_lines(self.log_path),
        }

    def promote(self) -> tuple[int, dict[str, Any]]:
        """The candidate that passed the gate becomes the production model."""
        state, saved = self.state(), self._saved()
        if not state["can_promote"]:
            return 409, refused("nothing_to_promote", "the last training registered no candidate")
        words = ["register", "promote", f"{saved.get('model')}@candidate", "production"]
        command = [sys.executable, "-m", "lenslet", *words]
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=PROMOTE_S, check=False
        )
        if done.returncode:
            return 502, refused("promotion_failed", CONTROL.sub(" ", done.stderr.strip())[-300:])
        return 200, {"promoted": done.stdout.strip()}

    def _saved(self) -> Mapping[str, Any]:
        try:
            content = parse_json(self.state_path.read_bytes())
            # An undefined figure is NaN in Python, which JSON does not have.
            content = json.loads(json.dumps(content), parse_constant=lambda _: None)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def read_training_access(environment: Mapping[str, str]) -> Access:
    """Who may start trainings. Raises: ValueError without LENSLET_TRAINING_KEYS, or if it is malformed."""
    kind = "SHA-256 hashes of 64 hexadecimal digits"
    hashes = read_entries(environment, "LENSLET_TRAINING_KEYS", KEY_HASH, kind, is_secret=True)
    if not hashes:
        raise ValueError(
            "--with-training needs LENSLET_TRAINING_KEYS, the SHA-256 hash of a key for those who may start trainings"
        )
    return Access(tuple(map(bytes.fromhex, hashes)))


def refused(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def last_lines(path: Path) -> list[str]:
    """The last lines of the log, without control characters."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [CONTROL.sub("", line) for line in text.splitlines()[-LAST_LINES:]]


def body_of(content: dict[str, Any]) -> str:
    return json.dumps(content, allow_nan=False) if content else ""
