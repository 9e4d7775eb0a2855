"""The stages of `lenslet retrain`, each a command in a process of its own, and what is remembered between them."""

import argparse
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from lenslet.commands.gate import figures_at
from lenslet.commands.parser import section_of
from lenslet.evaluation.gate import GateError, check_same_photos, decide
from lenslet.inference.errors import ArtifactError, InputError
from lenslet.labelling.retraining import FAILED, LOG_NAME, REFUSED, REGISTERED, STAGES, State
from lenslet.registry.mlflow_client import OFF, SERVER
from lenslet.serving.http.training import last_lines

SHOWN = ("accuracy", "accuracy_low", "accuracy_high", "log_loss", "photos")
CHAMPION = "champion"  # folder of the figures of the model in use, where it had to be measured
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def run_stages(state: State, folder: Path, arguments: argparse.Namespace) -> State:
    """Run what is left of the stages; the state is saved before each and at the end.

    Raises: InputError, with the last lines of the log, if a stage fails; the same command continues with it.
    """
    with (folder / LOG_NAME).open("ab") as log:
        for stage in STAGES[STAGES.index(state.stage) :]:
            state = replace(state, stage=stage)
            state.save(folder)
            if stage == "register" and not is_better(state, folder, arguments, log):
                return finished(state, REFUSED, folder, arguments)
            print(f"{stage} …", flush=True)
            code = run_stage(words_of(stage, folder, arguments, state), log)
            if code == 1 and stage == "register":
                return finished(state, REFUSED, folder, arguments)
            if code:
                state.ended_as(FAILED, state.figures).save(folder)
                lines = "\n".join(last_lines(folder / LOG_NAME))
                raise InputError(f"{stage} failed; {folder / LOG_NAME} ends with\n{lines}")
    return finished(state, REGISTERED, folder, arguments)


def words_of(stage: str, folder: Path, arguments: argparse.Namespace, state: State) -> list[str]:
    """The command line of a stage."""
    model, cache = ["--model", str(folder / "model")], ["--cache", str(arguments.cache)]
    data = ["--data", str(folder / "photos.csv")]
    words = {
        "train": ["train", *data, "--out", str(folder / "model"), "--name", state.model, *cache, "--resume"],
        "convert": ["convert", *data, *model, *cache],
        "evaluate": ["evaluate", *data, *model, *cache],
        "register": ["register", "register", *model, "--alias", "candidate"],
    }[stage]
    if stage == "train":
        # A folder a run: --resume refuses what was begun with other photos.
        words += ["--runs", str(folder / "runs" / state.id)]
        words += ["--weights", arguments.weights] if arguments.weights else []
        words += ["--no-fine-tune"] if arguments.no_fine_tune else []
    section = {"register": "gate"}.get(stage, stage)
    words += ["--params", str(arguments.params)] if arguments.params else []
    return words + [
        word for each in arguments.overrides if section_of(each) == section for word in ("--set", each)
    ]


def run_stage(words: list[str], log: IO[bytes], is_tracked: bool = True) -> int:
    """The exit code of a command, which ends with this process, however that ends."""
    log.write(f"$ lenslet {shlex.join(words)}\n".encode(errors="replace"))
    log.flush()
    process = subprocess.Popen(
        [sys.executable, "-m", "lenslet", *words],
        stdout=log,
        stderr=log,
        env=None if is_tracked else {**os.environ, SERVER: OFF},
        preexec_fn=end_with_parent,
    )
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise


def end_with_parent() -> None:
    """On Linux; elsewhere a killed `lenslet retrain` leaves its stage running, whose locks hold until it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def is_better(state: State, folder: Path, arguments: argparse.Namespace, log: IO[bytes]) -> bool:
    """Whether the new model keeps all limits and is no worse than the model in use, on the same test photos."""
    from lenslet.commands.parser import params_of

    shutil.rmtree(folder / CHAMPION, ignore_errors=True)
    figures = figures_at(str(folder / "model"))
    limits = params_of(arguments).gate.of(str(figures["model"]))
    places = (str(folder / "model"), str(arguments.model))
    try:
        decision = decide(figures, limits, figures_at(str(arguments.model)), places)
    except GateError as error:  # more photos since, say
        print(f"{error}\nso {arguments.model} is measured on the photos of this training …", flush=True)
        champion = measured_champion(state, folder, arguments, log)
        decision = decide(figures, limits, champion, places)
    print(decision.table)
    return decision.is_passed


def measured_champion(
    state: State, folder: Path, arguments: argparse.Namespace, log: IO[bytes]
) -> dict[str, Any] | None:
    """Figures of the model in use on the same photos, recorded nowhere; None if it can't be measured on them."""
    words = words_of("evaluate", folder, arguments, state)
    words[words.index("--model") + 1] = str(arguments.model)
    words += ["--report", str(folder / CHAMPION), "--no-record"]
    if run_stage(words, log, is_tracked=False):
        lines = last_lines(folder / LOG_NAME)[-1:]
        print(f"it is not compared with, because it cannot be measured on them: {' '.join(lines)}")
        return None
    return figures_at(str(folder / CHAMPION / "metrics.json"))


def finished(state: State, result: str, folder: Path, arguments: argparse.Namespace) -> State:
    """Save the state with the figures of both models on the same photos, and print them."""
    measured = folder / CHAMPION / "metrics.json"
    places = str(measured if measured.is_file() else arguments.model), str(folder / "model")
    both: dict[str, Mapping[str, Any]] = {}
    with suppress(GateError, ArtifactError):
        both["after"] = figures_at(places[1])
        before = figures_at(places[0])
        check_same_photos(both["after"], before, *places)
        both = {"before": before, **both}
    for name, found in both.items():
        print(f"{name}: accuracy {found['accuracy']:.1%} of {found['photos']:,.0f} test photos")
    figures = {
        name: {key: found[key] for key in SHOWN if key in found} | {"version": found.get("version")}
        for name, found in both.items()
    }
    ended = state.ended_as(result, figures)
    ended.save(folder)
    print(f"{folder / 'model'}: {result}; its report is {folder / 'model/report/report.html'}")
    return ended
