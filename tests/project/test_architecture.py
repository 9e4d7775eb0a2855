"""The map of the code, read from its imports: which room may import which, and what each room may bring in."""

import ast
import re
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.imports import (
    all_files,
    imports_by_variable,
    imports_of,
    module_of,
    modules,
    product_files,
    tree_of,
)

# Room → rooms that it may import, besides itself. What is not listed here imports nothing of Lenslet.
ALLOWED = {
    "cli": {"inference", "config", "commands"},
    "reporting": {"evaluation", "registry", "dataset", "config", "inference"},
    "batch": {"evaluation", "registry", "dataset", "config", "inference", "serving"},
    "labelling": {"evaluation", "registry", "dataset", "config", "inference", "serving"},
    "monitoring": {"evaluation", "registry", "dataset", "config", "inference"},
    "checks": {"evaluation", "registry", "dataset", "config", "inference"},
    "registry": {"training", "config", "inference"},
    "tuning": {"training", "network", "dataset", "config", "inference"},
    "training": {"network", "dataset", "config", "inference"},
    "conversion": {"evaluation", "network", "dataset", "config", "inference"},
    "network": {"config", "inference"},
    "dataset": {"config", "inference"},
    "evaluation": {"inference"},
    "config": {"inference", "shipped"},
    "http": {
        "lambda_func",
        "serving",
        "inference",
    },  # lenslet/serving/http, which serves the function elsewhere
    "serving": {"inference"},
    "inference": set(),
    "shipped": set(),  # where the model lies that the package brings along
}
ALLOWED["commands"] = set(ALLOWED) - {"cli"}
ALLOWED["lenslet"] = set()  # the package itself, which is in the image of the function
ALLOWED["__main__"] = {"cli"}
# The same for what lies beside the package.
ALLOWED_BESIDE = {
    "train": {"__main__"},
    "convert": {"__main__"},
    "test": {"__main__"},
    "lambda_func": {"serving", "inference"},
    "frontend": set(),
    "data": set(),
    "infra": {"checks", "cli", "commands", "config", "dataset", "evaluation", "inference", "labelling"},
    "bench": set(ALLOWED) - {"cli", "lenslet", "__main__"} | {"lambda_func"},
    "fuzz": {"inference", "serving", "lambda_func", "bench"},
}
ALLOWED_BESIDE["tests"] = {*ALLOWED, *ALLOWED_BESIDE} - {"train", "convert", "test"}
# Modules that import by the name in a variable: the TFLite runtimes, and constants that a benchmark replaces.
BY_VARIABLE = {"lenslet/inference/classifier.py", "bench/loopback.py"}
# Functions of arrays, which every room but those of the function may call.
PURE = {"lenslet.evaluation.metrics", "lenslet.evaluation.calibration"}
FUNCTION_ROOMS = {"serving", "inference"}
# What is in the image of the function, besides the standard library; the late ones only inside functions.
FUNCTION_PACKAGES = {"numpy", "PIL", "tflite_runtime", "ai_edge_litert"}
LATE_FUNCTION_PACKAGES = {"boto3", "botocore", "certifi", "pillow_heif", "pi_heif", "pybase64"}
TENSORFLOW_ROOMS = {"network", "training", "conversion", "tuning"}
TENSORFLOW_FILES = {"lenslet/evaluation/attribution.py"}
MAX_LINES, MAX_COMMAND_LINES = 300, 150
# Every command has these.
SHARED_NAMES = {"main", "make_parser"}

# What is not kept yet. An entry that is no longer needed fails the test.
PENDING: dict[str, set[str]] = {
    "arrows": set(),
    "tensorflow": set(),
    "lines": set(),
    "names": set(),
}


def room_of(module: str) -> str:
    """The room of a module of lenslet, `lenslet` for the package itself; of others, the first part of the name."""
    if module.startswith("lenslet.serving.http"):
        return "http"
    parts = module.split(".")
    return parts[1] if parts[0] == "lenslet" and len(parts) > 1 else parts[0]


def lenslet_files() -> list[Path]:
    return [path for path in product_files() if path.parts[0] == "lenslet"]


def wrong_arrows() -> set[str]:
    wrong, table = set(), {**ALLOWED, **ALLOWED_BESIDE}
    for path in all_files():
        for each in imports_of(path):
            room, target = room_of(each.importer), room_of(each.target)
            if each.target == "lenslet" or each.target not in modules() or room == target:
                continue
            is_pure = each.target in PURE and room not in FUNCTION_ROOMS | {"config"}
            if target not in table.get(room, set()) and not is_pure:
                wrong.add(f"{each.importer} → {each.target}")
    return wrong


def test_arrows_point_down() -> None:
    assert wrong_arrows() == PENDING["arrows"]


def test_every_room_has_its_arrows_in_the_table() -> None:
    rooms = {room_of(module_of(path)) for path in all_files()}
    assert rooms == {*ALLOWED, *ALLOWED_BESIDE}


def test_table_of_arrows_has_no_circle() -> None:
    TopologicalSorter({**ALLOWED, **ALLOWED_BESIDE}).prepare()


def test_modules_form_no_circle() -> None:
    graph = defaultdict(set)
    for path in all_files():
        for each in imports_of(path):
            if each.target in modules() and each.target != each.importer:
                graph[each.importer].add(each.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_circle_is_found() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"c"}, "c": {"a"}}).prepare()


def test_what_is_imported_by_name_is_seen(tmp_path: Path) -> None:
    source = (
        "import importlib\n"
        "def late(name):\n"
        "    importlib.import_module('lenslet.training.run')\n"
        "    __import__('lenslet.cli')\n"
        "    importlib.import_module(f'lenslet.tuning.{name}')\n"
        "    runpy.run_module('lenslet.batch.run')\n"
        "    importlib.import_module(f'PIL.{name}')\n"
        "    importlib.import_module(name='lenslet.labelling.push')\n"
    )
    (tmp_path / "module.py").write_text(source)
    found = {each.target: each.is_late for each in imports_of(tmp_path / "module.py")}
    assert {
        "lenslet.training.run",
        "lenslet.cli",
        "lenslet.tuning.space",
        "lenslet.batch.run",
        "PIL",
        "lenslet.labelling.push",
    } <= set(found)
    assert found["lenslet.tuning.space"] is True
    assert not imports_by_variable(tmp_path / "module.py")
    (tmp_path / "renamed.py").write_text("from importlib import import_module as load\n")
    with pytest.raises(AssertionError, match="import_module goes by another name"):
        imports_of(tmp_path / "renamed.py")
    (tmp_path / "relative.py").write_text("import_module('..run', __package__)\n")
    with pytest.raises(AssertionError, match="relative import"):
        imports_of(tmp_path / "relative.py")
    (tmp_path / "other.py").write_text("from importlib import import_module\nimport_module(input())\n")
    assert imports_by_variable(tmp_path / "other.py")


def test_what_is_imported_by_a_variable_is_listed() -> None:
    assert {str(path) for path in product_files() if imports_by_variable(path)} == BY_VARIABLE


def test_page_knows_the_service_by_http_only() -> None:
    found = {each.target for path in Path("frontend").glob("*.py") for each in imports_of(path)}
    assert not {target for target in found if target.split(".")[0] == "lenslet"}


def test_function_brings_in_what_is_in_its_image() -> None:
    files = [path for path in lenslet_files() if room_of(module_of(path)) in FUNCTION_ROOMS]
    for path in [*files, Path("lambda_func.py")]:
        for each in imports_of(path):
            package = each.target.split(".")[0]
            if package in sys.stdlib_module_names:
                continue
            if package == "lenslet":
                assert each.target == "lenslet" or room_of(each.target) in FUNCTION_ROOMS, each
                continue
            allowed = FUNCTION_PACKAGES | (LATE_FUNCTION_PACKAGES if each.is_late else set())
            assert package in allowed, each


def test_tensorflow_is_imported_where_networks_are() -> None:
    found = set()
    for path in lenslet_files():
        packages = {each.target.split(".")[0] for each in imports_of(path)}
        if packages & {"tensorflow", "keras"} and room_of(module_of(path)) not in TENSORFLOW_ROOMS:
            found.add(str(path))
    assert found - TENSORFLOW_FILES == PENDING["tensorflow"]


def test_fast_tests_need_no_tensorflow(request: pytest.FixtureRequest) -> None:
    """Its import takes seconds in each process, and Streamlit looks at every loaded module whenever a page runs."""
    if request.config.getoption("markexpr") == "not slow":
        assert "tensorflow" not in sys.modules, "mark the module slow that imports it"


def test_only_commands_parse_arguments() -> None:
    for path in lenslet_files():
        if "argparse" in {each.target for each in imports_of(path)}:
            assert room_of(module_of(path)) in ("commands", "cli"), path


def test_tensorflow_is_set_up_in_one_place() -> None:
    found = [
        str(path) for path in lenslet_files() if "TF_CPP_MIN_LOG_LEVEL" in path.read_text(encoding="utf-8")
    ]
    assert found == ["lenslet/cli.py"]


def test_files_are_short() -> None:
    found = set()
    for path in product_files():
        is_command = Path("lenslet/commands") in path.parents
        limit = MAX_COMMAND_LINES if is_command or path == Path("infra/cost.py") else MAX_LINES
        if len(path.read_text(encoding="utf-8").splitlines()) > limit:
            found.add(str(path))
    assert found == PENDING["lines"]


ACCURACY = re.compile(r"argmax[^\n]*==[^\n]*\.mean\(|mean\([^\n]*argmax[^\n]*==")


def test_accuracy_is_computed_in_one_place() -> None:
    found = [str(path) for path in product_files() if ACCURACY.search(path.read_text(encoding="utf-8"))]
    assert found == ["lenslet/evaluation/metrics.py"]


def test_name_is_defined_in_one_module() -> None:
    places = defaultdict(set)
    for path in lenslet_files():
        for node in tree_of(path).body:
            is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if is_definition and not node.name.startswith("_"):
                places[node.name].add(module_of(path))
    assert {name for name, found in places.items() if len(found) > 1} - SHARED_NAMES == PENDING["names"]


def test_modules_that_start_first_exist() -> None:
    source = Path("tests/conftest.py").read_text(encoding="utf-8")
    named = re.findall(r'"(tests/[\w/]+\.py)"', source)
    assert len(named) > 20
    assert [name for name in named if not Path(name).exists()] == []
