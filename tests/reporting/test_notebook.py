"""The notebook has its sections in order, defines nothing, shows the shipped model's metrics, and runs."""

import ast
import json
import os
import re
import resource
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest

from lenslet.evaluation.metric_table import METRICS, metrics_table
from lenslet.inference.artifact import read_artifact
from tests.support.endpoint import said
from tests.support.photos import GREEN, RED, write_class

NOTEBOOK = Path("notebook.ipynb")
REFRESH = "run `make notebook` and commit the result"
SECTIONS = [
    "What is in the folder",
    "What the photos look like",
    "Sizes, copies and damaged files",
    "Colour and edges",
    "Where the model errs",
    "What the backbone sees",
    "Would more photos help?",
    "What to do next",
]
# What each cell that shows something shows, on the drawings.
SHOWN = {
    "read": "stream",
    "balance": "image/png",
    "thumbnails": "image/jpeg",
    "file-sizes": "text/html",
    "lint": "stream",
    "statistics": "image/png",
    "guess": "stream",
    "model-figures": "stream",
    "confusion": "image/png",
    "gallery": "image/jpeg",
    "features": "image/png",
    "neighbours": "text/html",
    "curve": "image/png",
    "history": "image/png",
}
# Of a model and photos whose classes differ, the model's judgement is missing.
NEEDS_CLASSES = {"confusion", "gallery"}


def read(path: Path = NOTEBOOK) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def cells(kind: str, notebook: Any = None) -> list[Any]:
    return [cell for cell in (notebook or read()).cells if cell.cell_type == kind]


def shown_by(cell: Any) -> set[str]:
    """The kinds of everything under a cell: "stream", "error", and media types."""
    kinds = {each.output_type for each in cell.outputs}
    return kinds | {name for each in cell.outputs for name in each.get("data", {})}


def printed_by(cell: Any) -> str:
    return "".join(each.text for each in cell.outputs if each.output_type == "stream")


def prose() -> str:
    return "\n\n".join(cell.source for cell in cells("markdown"))


def test_opens_with_a_title_and_one_sentence() -> None:
    title, sentence = cells("markdown")[0].source.split("\n\n")
    assert read().cells[0].cell_type == "markdown"
    assert re.fullmatch(r"# \w.+", title)
    assert sentence.endswith(".")
    assert len(re.findall(r"[.!?](\s|$)", sentence)) == 1


def test_headings_come_in_order() -> None:
    headings = re.findall(r"^(#+) (.+)$", prose(), re.MULTILINE)
    assert [level for level, _ in headings] == ["#"] + ["##"] * len(SECTIONS)
    assert [text for _, text in headings[1:]] == SECTIONS


def test_every_picture_says_what_to_look_for() -> None:
    """Each section but the last has the words in a text that stands before its first code."""
    for section in prose().split("\n## ")[1:-1]:
        assert "**What to look for:**" in section, section.splitlines()[0]


def test_defines_nothing() -> None:
    for cell in cells("code"):
        tree = ast.parse(re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE))
        arguments = {
            id(each)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
            for each in (*call.args, *(keyword.value for keyword in call.keywords))
        }
        for node in ast.walk(tree):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), cell.id
            if isinstance(node, ast.Lambda):
                assert id(node) in arguments, f"{cell.id}: a lambda may only be handed on"


def test_was_run_from_top_to_bottom() -> None:
    code = cells("code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), REFRESH
    for cell in code:
        assert "error" not in shown_by(cell), cell.id
        assert {each.name for each in cell.outputs if each.output_type == "stream"} <= {"stdout"}, cell.id
        assert SHOWN.get(cell.id, "nothing") in {*shown_by(cell), "nothing"}, f"{cell.id}: {REFRESH}"


def test_is_small_and_without_noise() -> None:
    assert NOTEBOOK.stat().st_size < 1.5e6
    notebook = read()
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}, cell.id  # no times
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_names_no_place_of_one_machine() -> None:
    texts = [cell.source for cell in read().cells] + [printed_by(cell) for cell in cells("code")]
    for text in texts:
        assert not re.search(r"(?<![\w.:/)])/[a-z]\w+/|[A-Z]:\\", text), text


def test_figures_are_those_of_the_shipped_model() -> None:
    [cell] = [cell for cell in cells("code") if "model-figures" in cell.metadata.get("tags", [])]
    lines = printed_by(cell).splitlines()
    content = json.loads(Path("model/model.json").read_text(encoding="utf-8"))
    assert lines[0].startswith(f"{content['name']}, test photos"), REFRESH
    printed = {line.split()[0]: line for line in lines if line}
    for key, value in content["metrics"]["test"].items():
        if key in METRICS:
            assert printed[key].startswith(f"{key:<26}{METRICS[key].text(value)} "), REFRESH
    for label in content["labels"]:
        figures = (content["metrics"]["test"][f"{name}.{label}"] for name in ("precision", "recall"))
        assert printed[label].split()[1:3] == [f"{figure:.1%}" for figure in figures], REFRESH


def test_cell_of_figures_runs_on_all_that_is_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """Not only on what stood in model.json when the notebook last ran."""
    [cell] = [cell for cell in cells("code") if "model-figures" in cell.metadata.get("tags", [])]
    artifact = read_artifact(Path("model"))
    named = {"data_fingerprint": "f00d", "test_fingerprint": "beef"}
    metrics = {"test": {**artifact.metrics["test"], **named}}
    exec(
        cell.source,
        {
            "classifier": SimpleNamespace(artifact=replace(artifact, metrics=metrics)),
            "metrics_table": metrics_table,
        },
    )
    assert "accuracy" in capsys.readouterr().out


def test_prose_holds_no_measured_figure() -> None:
    """They would go stale: every figure is printed by a cell."""
    assert re.findall(r"\d[.,]\d|\d ?%", prose()) == ["5 %"]  # 95 % confidence
    assert "95 % confidence" in prose()


def test_commands_in_the_prose_exist() -> None:
    makefile = Path("Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make (\w+)", prose()):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in re.findall(r"(?:python |`)(\w+\.py)", prose()):
        assert Path(script).exists(), script
    for module in re.findall(r"python -m ([\w.]+)", prose()):
        assert Path(module.replace(".", "/") + ".py").exists(), module


def make_notebook(folder: Path, *variables: str) -> Any:
    """A copy of the notebook that `make notebook` has run without an old cache."""
    copy = folder / "notebook.ipynb"
    command = ["make", "--assume-old", ".venv/installed", "notebook", f"NOTEBOOK={copy}", *variables]
    # pytest's variable makes the kernel behave otherwise; those of the model and the photos may be set outside.
    unwanted = {"PYTEST_CURRENT_TEST", "DATA", "MODEL", "WEIGHTS", "MAKEFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    environment["CACHE"] = str(folder / "cache")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert said(finished.stderr) == []
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: on two cores that have nothing else to do the clock shows less.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 300
    return read(copy)


def without_numbers(cell: Any) -> str:
    """What a cell printed, without what another machine may compute a little differently."""
    return re.sub(r"[\d.,]+", "#", printed_by(cell))


@pytest.mark.slow
def test_runs_on_the_drawings_and_shows_what_is_kept(tmp_path: Path) -> None:
    run, kept = cells("code", make_notebook(tmp_path)), cells("code")
    for new, old in zip(run, kept, strict=True):
        assert new.source == old.source
        assert new.execution_count == old.execution_count
        assert set(new.metadata) <= {"tags"}
        assert SHOWN.get(new.id, "nothing") in {*shown_by(new), "nothing"}, new.id
        assert "stderr" not in {each.get("name") for each in new.outputs}, new.id
        assert without_numbers(new) == without_numbers(old), f"{new.id}: {REFRESH}"


@pytest.mark.slow
def test_runs_on_photos_of_classes_that_the_model_does_not_know(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_class(photos / "$5 green", 14, GREEN)
    write_class(photos / "red", 12, RED, first_seed=50)
    copy = photos / "red" / "copy.png"
    copy.write_bytes((photos / "red" / "00.png").read_bytes())
    (photos / "red" / "broken.jpg").write_bytes(b"no photo")
    notebook = make_notebook(tmp_path, f"DATA={photos}")
    by_id = {cell.id: cell for cell in cells("code", notebook)}
    for name, kind in SHOWN.items():
        assert (kind in shown_by(by_id[name])) == (name not in NEEDS_CLASSES), name
    assert "27 photos used, 1 left out" in printed_by(by_id["read"])
    assert "exact copy" in printed_by(by_id["lint"])
    assert "image/jpeg" in shown_by(by_id["pairs"])
    assert "model knows other classes (buildings, " in printed_by(by_id["confusion"])
