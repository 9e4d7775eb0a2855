"""Options that commands share: mistyped ones, --set, and paths of shipped files."""

import argparse
import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lenslet.cli import main
from lenslet.commands.options import add_options, here_or_shipped
from lenslet.commands.output import command_line
from lenslet.commands.parser import params_of, parser_for, whole_number
from lenslet.config.train import BACKBONE_NAMES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "train --data x --out y --no-finetune",
            "--no-finetune is not an option; did you mean --no-fine-tune?",
        ),
        ("train --dta x", "--dta is not an option; did you mean --data?"),
        ("train --data x --out y --no-fine", "--no-fine is not an option; did you mean --no-fine-tune?"),
        (
            "train --data x --out y --epochs 3",
            "--epochs is not an option; did you mean --set train.head.epochs=… or --set train.fine_tune.epochs=…?",
        ),
        ("gate --set train.seed=3", "--set train.seed=3: lenslet gate reads gate, not train"),
        ("tune --data data/sample --set gate.min.f1=1", "lenslet tune reads tune and train, not gate"),
        ("train --steps_at_least=3", "did you mean --set train.fine_tune.min_steps_per_epoch=…?"),
        (
            "gate --accuracy 0.5",
            "did you mean --set gate.min.accuracy=… or --set gate.models.NAME.min.accuracy=…?",
        ),
        (
            "convert --precision int8",
            "--precision is not an option; did you mean --set convert.precisions=…?",
        ),
        ("predict x.jpg --zzz", "--zzz is not an option; `lenslet predict --help` lists the options"),
        ("train --data x", "the following arguments are required: --out"),
        ("test --wait soon", "argument --wait: invalid float value: 'soon'"),
        ("drift x --windows 0", "argument --windows: '0' is not a whole number of at least 1"),
        ("drift x --looks 7", "--looks is not an option; use --windows"),
        ("register list --jsn", "--jsn is not an option; did you mean --json?"),
        ("lint --data x", "--data is not an option; it is given without one, as PLACE"),
        ("explain --photo x.jpg", "--photo is not an option; it is given without one, as photo"),
        ("convert --data data/sample --out x", "--out is not an option; use --model"),
        ("evaluate --data data/sample --out x", "--out is not an option; use --report"),
        ("gate --model model", "--model is not an option; use --metrics"),
        (
            "train --data data/sample --out x --model resnet50",
            "--model is not an option; use --set train.backbone.name=…",
        ),
        (
            "train --data data/sample --out x --backbone resnet50",
            "did you mean --set train.backbone.name=…?",
        ),
        ("train photos --out x", "photos stands without an option; did you mean --data photos?"),
        ("serve model", "model stands without an option; did you mean --model model?"),
        ("train -d photos -o x", "-d is not an option; use --data"),
        ("train --data x --out y -e 3", "-e is not an option; `lenslet train --help` lists the options"),
        ("register lst", "(choose from 'register', 'promote', 'list', 'fetch'); did you mean list?"),
        ("train --data x --out y --leaks kep", "'refuse'); did you mean keep?"),
        ("completion csh", "argument shell: invalid choice: 'csh' (choose from 'bash', 'zsh', 'fish')"),
    ],
)
def test_mistyped_option_is_one_sentence(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words.split()[0]
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"lenslet {command}")
    assert said.endswith(f"{message}\n")


def test_set_and_params_are_read_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(Path("params.yaml").read_text(encoding="utf-8").replace("seed: 20", "seed: 7"))
    parser = parser_for("train", "A command.\n\nDetails.", sections=["train", "evaluate"])
    arguments = parser.parse_args(
        ["--params", str(path), "--set", "train.head.epochs=2", "--set", "evaluate.corruption_photos=0"]
    )
    params = params_of(arguments)
    assert (params.train.seed, params.train.head.epochs, params.evaluate.corruption_photos) == (7, 2, 0)


def test_option_of_the_table_with_a_change() -> None:
    parser = parser_for("x", "A command.")
    add_options(parser, "--data", required=False, default=Path("data"))
    assert parser.parse_args([]).data == Path("data")


@pytest.mark.parametrize(
    ("text", "is_allowed"), [("1", True), ("5", True), ("0", False), ("6", False), ("1.5", False)]
)
def test_whole_number(text: str, is_allowed: bool) -> None:
    if is_allowed:
        assert whole_number(1, 5)(text) == int(text)
    else:
        with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a whole number from 1 to 5"):
            whole_number(1, 5)(text)


def test_shipped_files_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path.cwd()
    assert here_or_shipped("model") == Path("model")
    monkeypatch.chdir(tmp_path)
    assert here_or_shipped("model").samefile(root / "model")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("lint data/sample --allow-leaks", "--allow-leaks is not an option; use --leaks keep"),
        ("evaluate --data data/sample --strangers x", "--strangers is not an option; use --ood"),
        ("train --data data/sample --output x", "--output is not an option; use --out"),
        ("train --data data/sample --out x --no-finetune", "did you mean --no-fine-tune?"),
        (
            "train --data data/sample --out x --set train.backbone.name=mobilnet_v2",
            "train.backbone.name: there is no backbone 'mobilnet_v2'; did you mean mobilenet_v2?",
        ),
        (
            "train --data data/sample --out x --weights nowhere.keras",
            "the initial weights nowhere.keras do not exist: give a .keras file, imagenet or none",
        ),
    ],
)
def test_wrong_words_are_answered_before_photos_are_read(
    words: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("lenslet.dataset.reading.read_dataset", lambda *_: pytest.fail("photos were read"))
    given = [str(tmp_path) if word == "x" else word for word in words.split()]
    with contextlib.suppress(SystemExit):
        assert main(given) == 2
    assert sentence in capsys.readouterr().err


def test_backbones_of_params_are_those_of_the_network() -> None:
    source = Path("lenslet/network/backbones.py").read_text(encoding="utf-8")
    table = source[source.index("BACKBONES = {") : source.index("def build_backbone")]
    assert tuple(re.findall(r'^    "(\w+)": Backbone\(', table, re.MULTILINE)) == BACKBONE_NAMES


def test_printed_commands_work_where_there_is_no_lenslet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert command_line("lenslet", "serve").split() == [sys.executable, "-m", "lenslet", "serve"]
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/lenslet")
    assert command_line("lenslet", "serve").split() == ["lenslet", "serve"]


@pytest.mark.parametrize("command", ["lint", "convert", "evaluate", "tune"])
def test_wrong_params_are_said_before_anything_large_is_imported(command: str, tmp_path: Path) -> None:
    place = ["data/sample"] if command == "lint" else ["--data", "data/sample"]
    script = (
        "import sys\nfrom lenslet.cli import main\n"
        f"code = main({[command, *place, '--params', str(tmp_path / 'none.yaml')]!r})\n"
        "print(code, {'sklearn', 'matplotlib', 'tensorflow', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 set()\n", done.stderr
    assert "none.yaml cannot be read: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["lint", ""], "PLACE"),
        (["train", "--data", "", "--out", "x"], "--data"),
        (["evaluate", "--data", "x", "--model", " "], "--model"),
    ],
)
def test_empty_path_is_not_the_current_folder(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert f"argument {option}: the path is empty; write . for the current folder" in capsys.readouterr().err
