"""Serve the Lambda function over plain HTTP, for laptops, virtual machines and containers.

    lenslet serve --port 8080
    curl http://127.0.0.1:8080/predict -H "Content-Type: image/jpeg" --data-binary @photo.jpg

Each request becomes the event that a Function URL would send (payload format version 2.0; bodies that would be
base64 are bytes), the function's own `handler` answers it in a worker thread, and its answer goes back as it is. One
line of log for each request; LENSLET_METRICS_DISABLED=false adds the lines of metrics that CloudWatch reads.

There is a process for each processor, and connections go to them in turn. When all workers of a process are busy,
some requests wait; more are answered 503 with Retry-After, at once. GET /health is always answered. On SIGTERM and
Ctrl-C it finishes the requests in progress, refuses new ones, and exits with code 0.

    lenslet serve --with-training my_photos --retrain-options "--project scenes --weights out/mine/model.keras"

also takes POST /train, which starts `lenslet retrain` on this computer, with a key whose hash is in
LENSLET_TRAINING_KEYS; GET /train says how far it is. The page has a tab for it.
"""

import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lenslet.commands.options import here_or_shipped
from lenslet.commands.parser import CommandParser, parser_for, whole_number
from lenslet.inference.errors import InputError
from lenslet.inference.processors import processors

if TYPE_CHECKING:
    from lenslet.serving.http.training import Training


def main(argv: list[str] | None = None, prepare: Callable[[], None] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. `prepare` is for tests: each process calls it first."""
    arguments = make_parser().parse_args(argv)

    # Before the function is imported; blank is not set.
    os.environ["LENSLET_METRICS_DISABLED"] = os.environ.get("LENSLET_METRICS_DISABLED", "").strip() or "true"

    from lenslet.serving.http.server import open_port, serve

    if arguments.model or not os.environ.get("LENSLET_MODEL"):
        os.environ["LENSLET_MODEL"] = str(arguments.model or here_or_shipped("model"))
    try:
        listener = open_port(arguments.host, arguments.port)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python adds the address in brackets
        raise InputError(f"cannot listen on {arguments.host}, port {arguments.port}: {reason}") from error
    try:
        training = training_of(arguments.with_training, arguments.retrain_options)
    except ValueError as error:
        raise InputError(f"a setting is wrong: {error}") from error
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    ready = partial(
        say_ready, f"Lenslet answers on http://{host}:{port} and explains its API on /docs (Ctrl-C stops it)"
    )
    if not serve(listener, arguments.workers, arguments.waiting, ready, prepare, training):
        print("lenslet serve: a process has died; the others have ended", file=sys.stderr)
        return 1
    return 0


def training_of(data: Path | None, options: str) -> "Training | None":
    """What POST /train starts; its options are checked here. Raises: ValueError."""
    if data is None:
        return None

    from lenslet.commands import retrain
    from lenslet.labelling.retraining import LOG_NAME, STATE_NAME
    from lenslet.serving.http.training import Training, read_training_access

    access = read_training_access(os.environ)
    words = ["--data", str(data), "--model", os.environ["LENSLET_MODEL"], *shlex.split(options)]
    folder: Path = retrain.make_parser().parse_args(words).folder
    folder.mkdir(parents=True, exist_ok=True)
    return Training(tuple(words), folder, folder / STATE_NAME, folder / LOG_NAME, access)


def say_ready(sentence: str) -> None:
    """Print the address; where the standard output cannot be written, say that on standard error, and go on."""
    try:
        print(sentence, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to be written, too
        print(f"{sentence}; the log cannot be written ({error.strerror})", file=sys.stderr, flush=True)


def make_parser() -> CommandParser:
    parser = parser_for("serve", __doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 opens it to the network (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535),
        default=8080,
        metavar="N",
        help="0: a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="written by lenslet convert (default: $LENSLET_MODEL, else model/)",
    )
    parser.add_argument(
        "--workers",
        type=whole_number(1, 1000),
        default=processors(),
        metavar="N",
        help="requests answered at the same time, split among the processes (default: one for each processor)",
    )
    parser.add_argument(
        "--waiting",
        type=whole_number(0, 10_000),
        default=32,
        metavar="N",
        help="requests that may wait for a worker; each keeps up to 6 MB (default: %(default)s)",
    )
    add = parser.add_argument
    add(
        "--with-training",
        type=Path,
        metavar="PLACE",
        help="labelled photos on which POST /train trains again",
    )
    add(
        "--retrain-options",
        default="",
        metavar="WORDS",
        help="further options of `lenslet retrain`, in one text",
    )
    return parser
