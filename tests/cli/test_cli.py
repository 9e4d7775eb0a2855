"""The command line: the table of commands, mistyped words, exit codes, and what `--help` may import."""

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import lenslet
from lenslet import cli
from lenslet.inference.errors import ArtifactError, BadRequest

HEAVY = (
    "numpy",
    "tensorflow",
    "keras",
    "matplotlib",
    "mlflow",
    "sklearn",
    "optuna",
    "requests",
    "PIL",
    "ruamel",
)


def test_overview_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, line in cli.COMMANDS.items():
        assert any(each.split() == [name, *line.split()] for each in lines)
    assert list(cli.COMMANDS)[:5] == ["lint", "train", "tune", "average", "convert"]


def test_no_word_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: lenslet <command>")


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([flag]) == 0
    assert capsys.readouterr().out == f"lenslet {lenslet.__version__}\n"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("trian", "did you mean train?"),
        ("evalute", "did you mean evaluate?"),
        ("acept", "did you mean accept?"),
        ("xyz", "`lenslet --help` lists the commands"),
    ],
)
def test_mistyped_command(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([word]) == 2
    assert capsys.readouterr().err == f"lenslet: unknown command {word!r}; {hint}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_imports_no_room(name: str) -> None:
    """Measured in a process of its own, by what is imported: a clock would measure the machine."""
    program = (
        "import sys\nfrom lenslet.cli import main\n"
        f"try:\n    main([{name!r}, '--help'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: lenslet {name} ")
    assert done.stdout.splitlines()[-1] == "heavy: []"


def fake_command(monkeypatch: pytest.MonkeyPatch, main: Callable[[list[str]], int]) -> types.ModuleType:
    """In place of `lenslet predict`."""
    module = types.ModuleType("lenslet.commands.predict")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lenslet.commands.predict", module)
    return module


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (ArtifactError("model.json does not exist"), 2, "lenslet predict: model.json does not exist\n"),
        (BadRequest("the data are not an image"), 2, "lenslet predict: the data are not an image\n"),
        (FileNotFoundError(2, "No such file or directory", "x.jpg"), 2, "x.jpg: No such file or directory\n"),
        (IsADirectoryError("out is a folder"), 2, "lenslet predict: out is a folder\n"),
        (KeyboardInterrupt(), 130, "\nlenslet predict: stopped; the half is kept\n"),
    ],
)
def test_expected_errors_are_one_sentence(
    error: BaseException, code: int, printed: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def main(words: list[str]) -> int:
        raise error

    module = fake_command(monkeypatch, main)
    module.AFTER_CTRL_C = lambda words: "; the half is kept"  # type: ignore[attr-defined]
    assert cli.main(["predict"]) == code
    assert capsys.readouterr().err.endswith(printed)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("lenslet.cli", "lenslet: stopped"),
        ("lenslet.inference.printable", "lenslet: stopped"),
        ("lenslet.commands.lint", "lenslet lint: stopped"),
        ("lenslet.config", "lenslet lint: stopped"),
    ],
)
def test_ctrl_c_while_modules_are_imported_is_one_line(module: str, line: str) -> None:
    program = (
        "import runpy, sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "sys.argv[1:] = ['lint', 'photos']\n"
        "runpy.run_module('lenslet', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, f"\n{line}\n")


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(words: list[str]) -> int:
        raise ZeroDivisionError("a mistake of ours")

    fake_command(monkeypatch, main)
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        cli.main(["predict"])


def test_exit_code_of_a_command_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_command(monkeypatch, lambda words: len(words))
    assert cli.main(["predict", "a"]) == 1
    assert cli.main(["predict"]) == 0


def test_reader_that_goes_away_is_no_traceback() -> None:
    command = (
        f"{sys.executable} -m lenslet --help | true; {sys.executable} -m lenslet completion bash | head -1"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_package_that_is_not_installed_is_a_sentence_and_bad_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not exit code 1, by which a gate says that a model failed."""
    monkeypatch.setitem(sys.modules, "ruamel", None)
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    for name in [name for name in sys.modules if name.startswith("lenslet.config")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["gate", "--set", "gate.min.accuracy=0.5"]) == 2
    said = capsys.readouterr().err
    assert "lenslet gate: the package 'ruamel" in said
    assert "pip install 'lenslet[train]'" in said
    assert "Traceback" not in said


def test_gate_can_be_set_where_models_are_registered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["register", "register", "--model", str(tmp_path)]
    assert cli.main([*words, "--set", "gate.min.accuracy=0.5"]) == 2
    assert "model.json does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*words, "--set", "train.seed=3"])
    assert "reads gate, not train" in capsys.readouterr().err
