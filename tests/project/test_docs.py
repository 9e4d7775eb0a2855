"""What the documents name exists: links, commands, options, make targets, keys of params.yaml, files, settings."""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from lenslet import cli
from lenslet.commands.parser import CommandParser
from lenslet.config import ParamsError, read_params
from lenslet.dataset import layouts
from lenslet.evaluation.metric_table import METRICS
from lenslet.inference import budget
from lenslet.inference.errors import LensletError
from lenslet.serving import answer, gateway, request
from lenslet.serving.links import allowance, fetcher
from lenslet.serving.settings import KUBERNETES
from tests.support.documents import (
    DOCUMENTS,
    ROOT,
    Command,
    anchors,
    commands,
    links,
    read,
    rows,
    section,
)

MAKEFILE = read("Makefile")
PARAMS = yaml.safe_load(read("params.yaml"))
FIGURES = json.loads(read("model/model.json"))["metrics"]["test"]
# What commands write; no file of the repository.
WRITTEN = (
    {"metrics.json", "report.html"}
    | {
        f"report/{name}"
        for name in ("explanation-PHOTO-….png", "drift-SOURCE-….html", "lint-my_photos/lint.csv")
    }
    | {"out/mine/report/report.html"}
)
EXAMPLES = {
    "_plan/manifest.json",
    "list.csv",
    "answers.csv",
    "labels.csv",
    "photo.jpg",
    "metadata.csv",
    "_classes.csv",
}


@pytest.fixture(autouse=True)
def photos_may_be_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders that documents name are their reader's."""
    monkeypatch.setattr(layouts, "check_place", lambda place: None)


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


def test_every_document_is_tested() -> None:
    """Except logs, which keep old names, and what others wrote."""
    documents = {name for name in tracked_files() if name.endswith(".md") and not name.startswith("tests/")}
    others = {"CHANGELOG.md", "EXPERIMENTS.md", "model/MODEL_CARD.md", "lenslet/network/weights/NOTICE.md"}
    assert documents - others == set(DOCUMENTS)


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md", "EXPERIMENTS.md"])
def test_links_lead_somewhere(document: str) -> None:
    for link in links(read(document)):
        name, _, fragment = link.partition("#")
        target = (ROOT / document).parent / name if name else ROOT / document
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target.read_text(encoding="utf-8")), link


@cache
def help_of_script(words: tuple[str, ...]) -> str:
    """What `python <words> --help` prints."""
    done = subprocess.run(
        [sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_lenslet(words: tuple[str, ...], is_whole: bool) -> None:
    """Against the command's own parser: a whole line must parse, with values of --set that params.yaml takes."""
    if words[0] in ("--help", "--version"):
        return
    assert words[0] in cli.COMMANDS, words
    parser: CommandParser = importlib.import_module(f"lenslet.commands.{words[0]}").make_parser()
    if "--help" in words:
        return
    if not is_whole:
        subcommands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if subcommands and len(words) > 1:
            assert words[1] in subcommands[0].choices, words
        assert set(Command("lenslet", words).options) <= set(parser.options()), words
        return
    refusal = io.StringIO()
    try:
        with contextlib.redirect_stderr(refusal):
            arguments = parser.parse_args(words[1:])
        read_params(ROOT / "params.yaml", getattr(arguments, "overrides", []))
    except (ParamsError, SystemExit) as error:
        raise AssertionError(f"{words}: {refusal.getvalue() or error}") from error


def look_up(key: str) -> object:
    """The value of a key of params.yaml, as `train.fine_tune.epochs`."""
    value: object = PARAMS
    for name in key.split("."):
        assert isinstance(value, dict) and name in value, f"params.yaml has no {key}"
        value = value[name]
    return value


def check_python(words: tuple[str, ...], is_whole: bool) -> None:
    if words[0] == "-c":
        return
    if words[:2] == ("-m", "lenslet"):
        check_lenslet(words[2:], is_whole)
        return
    shims = {"train.py": "train", "convert.py": "convert", "test.py": "test"}
    if words[0] in shims:
        assert (ROOT / words[0]).exists()
        check_lenslet((shims[words[0]], *words[1:]), is_whole)
        return
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), words
    else:
        assert (ROOT / words[0]).exists(), words
    if options := Command("python", words).options:
        printed = help_of_script(words[: 2 if words[0] == "-m" else 1])
        assert all(option in printed or option == "--help" for option in options), words


def check_make(words: tuple[str, ...], is_whole: bool) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable:
            by_make = rf"\$\((if \$\(|addprefix [\w -]+,\$\(|filter [\w/]+,\$\()?{name}\)"
            assert re.search(rf'{by_make}|"\$\${name}"', MAKEFILE), words
        else:
            assert name in targets, words


CHECKS = {"lenslet": check_lenslet, "python": check_python, "make": check_make}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_options_exist(document: str) -> None:
    for command in commands(read(document)):
        if command.words:
            CHECKS[command.program](command.words, command.is_whole)


def test_commands_are_found_in_the_documents() -> None:
    """The tests above would pass if nothing were found."""
    found = [command for document in DOCUMENTS for command in commands(read(document))]
    assert {"demo", "serve", "install", "deploy"} <= {c.words[0] for c in found if c.program == "make"}


def test_every_command_is_documented() -> None:
    found = [command for document in DOCUMENTS for command in commands(read(document))]
    named = {command.words[0] for command in found if command.program == "lenslet"}
    assert named - {"--help"} == set(cli.COMMANDS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lenslet trian --data x", "trian"),
        ("lenslet train --dta x", "--dta"),
        ("lenslet register demote 3", "demote"),
        ("lenslet train --data x --out y --set train.epoch=3", "train.epoch"),
        ("lenslet train --data x --out y --set train.head.epochs=many", "many"),
        ("lenslet train --data x", "--out"),
        ("make nothing", "nothing"),
        ("make serve MODLE=out/mine", "MODLE"),
        ("python data/upload.py intel", "upload"),
    ],
)
def test_wrong_commands_are_noticed(line: str, message: str) -> None:
    [command] = commands(f"```sh\n{line}\n```\n")
    with pytest.raises(AssertionError, match=message):
        CHECKS[command.program](command.words, command.is_whole)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_keys_of_params_exist(document: str) -> None:
    sections = "|".join(PARAMS)
    for key in re.findall(rf"`((?:{sections})(?:\.(?!py\b)[a-z_]+)+)[`=]", read(document)):
        look_up(key)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_exist(document: str) -> None:
    tracked = tracked_files()
    names = {Path(name).name for name in tracked}
    pattern = (
        r"`((?:[\w.-]+/)*[\w-]+\.(?:py|yaml|yml|md|json|toml|txt|in|html|csv|ipynb|keras|tflite|png|jpg))`"
    )
    for name in set(re.findall(pattern, read(document))) - WRITTEN - EXAMPLES:
        exists = (ROOT / name).exists() or name in names or name == "frontend/.streamlit/secrets.toml"
        assert exists, name


def test_documents_that_the_code_names_exist() -> None:
    """In comments, messages and help texts."""
    texts = {
        **sources(),
        "Makefile": MAKEFILE,
        "params.yaml": read("params.yaml"),
        "dvc.yaml": read("dvc.yaml"),
    }
    for name, text in texts.items():
        for document in re.findall(r"\b(docs/[\w-]+\.md|README\.md|EXPERIMENTS\.md)", text):
            assert (ROOT / document).exists(), f"{name} names {document}"


def sources() -> dict[str, str]:
    """Product code and configuration: what may read a setting."""
    endings = (".py", ".yaml", ".yml")
    places = ("lenslet/", "frontend/", "infra/", "lambda_func.py", "compose.yaml", "Makefile", "Dockerfile")
    return {
        name: read(name)
        for name in tracked_files()
        if name.startswith(places) and (name.endswith(endings) or name in places) and (ROOT / name).exists()
    }


def test_settings_are_those_of_the_code() -> None:
    """Every name in the code is in docs/settings.md, and the other way round."""
    text = "\n".join(sources().values())
    listed = set(re.findall(r"^\| .*?((?:LENSLET|LABEL_STUDIO)_\w+)", read("docs/settings.md"), re.MULTILINE))
    in_code = set(re.findall(r"\b(?:LENSLET|LABEL_STUDIO)_[A-Z0-9_]+[A-Z]\b", text))
    of_others = {  # Label Studio reads them
        "LABEL_STUDIO_BASE_DATA_DIR",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED",
    }
    assert listed == {name for name in in_code - of_others if not KUBERNETES.fullmatch(name)}
    others = set(re.findall(r"`((?:MLFLOW|SSL_CERT|KERAS)_\w+)`", read("docs/settings.md")))
    # Those that MLflow and OpenSSL read are named in docstrings, or nowhere.
    assert {name for name in others if name not in text} <= {"SSL_CERT_FILE", "SSL_CERT_DIR"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_settings_are_listed(document: str) -> None:
    listed = read("docs/settings.md")
    for name in re.findall(r"\b((?:LENSLET|MLFLOW)_[A-Z0-9_]+)\b", read(document)):
        assert f"`{name}`" in listed, name


def test_map_has_a_line_for_each_room_and_each_entry_of_the_root() -> None:
    cells = [row[0] for row in rows(section("docs/architecture.md", "The map"))]
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    tracked = tracked_files()
    root = {name.split("/")[0] + ("/" if "/" in name else "") for name in tracked} - {"lenslet/"}
    rooms = {
        "/".join(name.split("/")[:2]) + "/"
        for name in tracked
        if name.count("/") > 1 and name.startswith("lenslet/")
    }
    assert sorted(named) == sorted(root | rooms)


def test_tables_to_grow_are_where_the_page_says() -> None:
    lines = section("docs/architecture.md", "Where a change goes")
    found = re.findall(r"`([A-Z_]+)`(?: or `([A-Z_]+)`)? in `([\w/]+\.py)`", lines)
    assert {"BACKBONES", "COMMANDS", "METRICS"} <= {name for name, _, _ in found}
    for *names, file in found:
        for name in filter(None, names):
            assert re.search(rf"^{name}\b.* = [{{(]$", read(file), re.MULTILINE), (
                f"{file} has no table {name}"
            )


def test_figures_are_those_of_the_table_of_metrics() -> None:
    cells = [row[0] for row in rows(section("docs/evaluate.md", "Measure it on test photos"))]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert {"accuracy", "min_recall", "ood_auroc_photos"} <= named <= METRICS.keys() | FIGURES.keys()


def test_errors_of_the_api_are_those_of_the_code() -> None:
    table = {
        (int(status), code.strip("`")) for status, code, *_ in rows(section("docs/api.md", "Errors"))[1:]
    }
    assert table == {(error.status, error.code) for error in [LensletError, *LensletError.__subclasses__()]}


def test_fields_of_the_answer_are_those_of_the_contract() -> None:
    contract = yaml.safe_load(read("openapi.yaml"))["components"]["schemas"]
    fields = [row[0].strip("`") for row in rows(section("docs/api.md", "The answer"))[1:]]
    assert sorted(fields) == sorted(contract["Prediction"]["properties"])
    options = [row[0].strip("`") for row in rows(section("docs/api.md", "Classify a photo"))[1:]]
    assert set(options) == set(request.OPTIONS)


def test_limits_of_the_api_are_those_of_the_code() -> None:
    limits = dict(rows(section("docs/api.md", "Limits"))[1:])
    assert gateway.MAX_BODY_BYTES == 6 * 1024**2
    assert limits["request body"].startswith("6 MiB")
    assert (request.MAX_IMAGES, answer.BATCH_LIMIT_S) == (16, 3.0)
    assert limits["images of a batch or a form"] == "16, with 3 seconds of processor time for all"
    assert (fetcher.MAX_BYTES, allowance.MAX_BYTES_TOGETHER) == (20 * 1024**2, 40 * 1024**2)
    assert limits["file behind a link; all links of a batch"] == "20 MiB; 40 MiB"
    assert (budget.MAX_PIXELS, budget.MAX_DECODING_BYTES) == (50_000_000, 310_000_000)
    assert limits["pixels"].startswith("50 million") and limits["pixels"].endswith("310 MB")
