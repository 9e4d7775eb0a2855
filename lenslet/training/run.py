"""Runs of fine-tuning on disk: their settings, their checkpoints, and which one --resume continues."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lenslet.inference.atomic import probe_file, probe_folder, replacing, write_or_keep, write_text
from lenslet.inference.errors import InputError
from lenslet.inference.folder_lock import folder_lock
from lenslet.inference.json_text import has_shape, parse_json
from lenslet.training.record import (
    HISTORY_SHAPE,
    KERAS_NAME,
    RECORD_NAME,
    RecordError,
    TrainingRecord,
    flat,
    newest_training,
    place_of_training,
    read_record,
    save_network,
)

RUN_NAME = "run.json"
CHECKPOINT_NAME = "checkpoint.npz"  # there as long as the run is unfinished
LOG_NAME = "log.csv"


RUN_SHAPES = {
    "out": str,
    "data_fingerprint": str,
    "precision": str,
    "history": HISTORY_SHAPE,
    "minutes": float,
}
FACT_SHAPES = {"entry_loss": float, "history": {str: [float]}, "minutes": float}  # of a checkpoint


class RunFinished(Exception):
    """The run that should be resumed has ended; the message says so."""


class CheckpointError(InputError):
    """The run cannot be continued; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """Identity of a run: it can be continued if all but the last two fields are unchanged."""

    out: str
    params: Mapping[str, Any]  # of TrainParams
    data_fingerprint: str
    precision: str
    history: Mapping[str, Mapping[str, list[float]]] = field(
        default_factory=dict
    )  # of the head, if it had one
    minutes: float = 0.0  # spent before fine-tuning


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after an epoch; early stopping follows from its history."""

    entry_loss: float  # validation loss before the first epoch
    variables: list[NDArray[Any]]  # of the model, seeds included, and of its optimizer
    best: list[NDArray[Any]]  # weights of the epoch with the lowest validation loss, or those on entry
    history: Mapping[str, list[float]] = field(default_factory=dict)  # metric → value after each epoch
    minutes: float = 0.0  # spent in fine-tuning

    @property
    def losses(self) -> list[float]:
        """Validation loss after each epoch."""
        return self.history.get("val_loss", [])

    def is_at_end_of(self, patience: int) -> bool:
        """Whether the lowest validation loss after an epoch is `patience` epochs old."""
        if not self.losses:
            return False
        lowest = int(np.argmin(np.nan_to_num(self.losses, nan=np.inf)))
        return len(self.losses) - 1 - lowest >= max(1, patience)


@contextmanager
def claimed(out: Path, runs: Path, lint_csv: Path) -> Iterator[None]:
    """Make sure that all three can be written, and that no other training writes into `out` meanwhile.

    Raises: InputError.
    """
    probe_folder(out, "--out")
    probe_folder(runs, "--runs")
    probe_file(lint_csv, "--lint-csv")
    with folder_lock(out, "lenslet train"):
        yield


def new_run_folder(runs: Path, out: Path) -> Path:
    """A name that begins with the time and that no other run has; `start_run` makes the folder."""
    now = datetime.now(UTC)
    # Microseconds: trainings for different folders of the same name may begin in the same second.
    return runs / f"{now:%Y%m%dT%H%M%S}.{now:%f}-{out.name}"


def resume_or_begin(runs: Path, wanted: Run, out: Path, is_resuming: bool) -> tuple[Path, Run]:
    """Folder and settings of the killed run that equals `wanted`, if it is to be resumed; else of a new one.

    Raises: RunFinished if there is nothing left to resume; CheckpointError.
    """
    if not is_resuming and (there := unfinished_epochs(runs, out)):
        print(f"note: {there[0]} was stopped after {there[1]} epochs; --resume would continue it")
    if is_resuming:
        if done := _finished_training(runs, out, wanted):
            raise RunFinished(f"{done} was trained with these photos and settings: nothing is left to resume")
        if found := unfinished_run(runs, wanted):
            folder, run, epochs = found
            print(f"resuming {folder} after {epochs} finished epochs")
            return folder, run
        # No error: a job that is restarted after an interruption gives --resume each time, also the first.
        print(f"nothing to resume for {out} in {runs}: starting afresh")
    return new_run_folder(runs, out), wanted


def start_run(folder: Path, run: Run) -> None:
    folder.mkdir(parents=True)
    write_text(folder / RUN_NAME, json.dumps(asdict(run), indent=2) + "\n")


def unfinished_run(runs: Path, wanted: Run) -> tuple[Path, Run, int] | None:
    """The newest killed run in `runs` that equals `wanted`; None if none was killed.

    Runs for the same `out` that are older than a finished one are ignored.
    Returns: its folder, the run with the minutes spent so far, and the number of finished epochs.
    Raises: CheckpointError if parameters or photos have changed since, or the checkpoint is damaged.
    """
    killed = list(_killed_runs(runs, wanted.out))
    for folder, run in killed:
        checkpoint = None if _changes(run, wanted) else read_checkpoint(folder)
        if checkpoint:
            return folder, replace(run, minutes=run.minutes + checkpoint.minutes), len(checkpoint.losses)
    if killed:
        folder, run = killed[0]
        raise CheckpointError(
            f"{folder} cannot go on: {_changes(run, wanted)}; undo that, or start afresh without --resume"
        )
    return None


def unfinished_epochs(runs: Path, out: Path) -> tuple[Path, int] | None:
    """The newest run for `out` that was stopped after an epoch or more, and how many; its settings may differ."""
    for folder, _ in _killed_runs(runs, str(out.resolve())):
        with suppress(CheckpointError):
            checkpoint = read_checkpoint(folder)
            if checkpoint and checkpoint.losses:
                return folder, len(checkpoint.losses)
    return None


def _finished_training(runs: Path, out: Path, wanted: Run) -> Path | None:
    """Where the newest training for `out` is, if it had the `wanted` photos and settings, and none of these was killed.

    By the record: a head alone leaves no run.
    """
    if any(not _changes(run, wanted) for _, run in _killed_runs(runs, wanted.out)):
        return None
    place = newest_training(out)
    with suppress(RecordError):
        record = read_record(place)
        params = json.loads(json.dumps(asdict(record.params)))
        done = replace(wanted, params=params, data_fingerprint=record.data_fingerprint)
        is_other = record.seeds or _changes(done, wanted)
        return place if (place / KERAS_NAME).exists() and not is_other else None
    return None


def _killed_runs(runs: Path, out: str) -> Iterator[tuple[Path, Run]]:
    for path in sorted(runs.glob(f"*/{RUN_NAME}"), reverse=True):  # their names begin with the time
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            run = Run(**content)
        except (OSError, ValueError, TypeError):
            continue  # of another version
        if not all(has_shape(content.get(key), shape) for key, shape in RUN_SHAPES.items()):
            continue
        if run.out == out and (path.parent / KERAS_NAME).exists():
            return
        if run.out == out and (path.parent / CHECKPOINT_NAME).exists():
            yield path.parent, run


def _changes(run: Run, wanted: Run) -> str:
    """The differences, as part of a sentence; empty if there are none."""
    if run.precision != wanted.precision:
        return f"it computes in {run.precision}, and would now in {wanted.precision}"
    as_read = json.loads(json.dumps(wanted.params))  # a tuple comes back as a list
    if not isinstance(run.params, Mapping):
        return f"{RUN_NAME} is damaged"
    before, now = flat(run.params, "train."), flat(as_read, "train.")
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    listed = ", ".join(f"{key} was {before.get(key)} and is {now.get(key)}" for key in changed)
    if changed:  # first, because splits follow from them
        return f"the parameters have changed since it was started ({listed})"
    is_same = run.data_fingerprint == wanted.data_fingerprint
    return "" if is_same else "the photos, their labels or their splits have changed since it was started"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write one file in one step: a kill at any moment leaves this checkpoint or the previous one.

    Raises: CheckpointError if the disk is full, or the folder is not to be written.
    """
    arrays = {f"variable {number}": array for number, array in enumerate(checkpoint.variables)}
    arrays |= {f"best {number}": array for number, array in enumerate(checkpoint.best)}
    facts = json.dumps({key: getattr(checkpoint, key) for key in ("entry_loss", "history", "minutes")})
    try:
        with replacing(folder / CHECKPOINT_NAME) as temporary:
            _write_arrays(temporary, {"facts": np.array(facts), **arrays})
        write_text(folder / LOG_NAME, _log(checkpoint.history))
    except OSError as error:
        kept = (
            "--resume goes on from the last one" if (folder / CHECKPOINT_NAME).exists() else "run this again"
        )
        raise CheckpointError(
            f"the checkpoint after {len(checkpoint.losses)} epochs could not be written into {folder} "
            f"({error.strerror or error}): make room; {kept}"
        ) from error


def _write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """As `np.savez`, whose archive, on a full disk, fails once more when it is deleted, with a traceback."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)  # type: ignore[no-untyped-call]


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint in `folder`; None if there is none yet. Raises: CheckpointError if it is damaged."""
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            facts = parse_json(str(arrays["facts"]))
            variables = [arrays[name] for name in arrays if name.startswith("variable ")]
            best = [arrays[name] for name in arrays if name.startswith("best ")]
        if not all(has_shape(facts[key], shape) for key, shape in FACT_SHAPES.items()):
            raise ValueError("its figures are no numbers")
        if len({len(values) for values in facts["history"].values()}) > 1:
            raise ValueError("its epochs differ in number")
        return Checkpoint(variables=variables, best=best, **facts)
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds, MemoryError among them
        raise CheckpointError(f"{path} is damaged ({error}): start afresh without --resume") from error


def save_trained(network: Any, record: TrainingRecord, out: Path, folder: Path) -> Path:
    """Write network and record for the model folder `out`, and end the run in `folder` if there was fine-tuning.

    Returns: where they are: `place_of_training`.
    """
    place = place_of_training(out)
    write_or_keep(partial(save_network, network, record), place)
    if record.params.fine_tune.epochs:
        finish_run(folder, place)
    return place


def finish_run(folder: Path, out: Path) -> None:
    """Replace the checkpoint by a copy of the network and record in `out`."""
    for name in (RECORD_NAME, KERAS_NAME):
        with replacing(folder / name) as temporary:
            temporary.write_bytes((out / name).read_bytes())
    # The latter were being written when the run was killed; in `out`, another run may be writing.
    for path in (folder / CHECKPOINT_NAME, *folder.glob(".*.partial.*")):
        path.unlink(missing_ok=True)


def _log(history: Mapping[str, list[float]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = sorted(history)
    writer.writerow(["epoch", *names])
    for epoch, values in enumerate(zip(*(history[name] for name in names), strict=True)):
        writer.writerow([epoch, *values])
    return file.getvalue()
