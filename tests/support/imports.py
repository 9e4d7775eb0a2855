"""The imports of the project's modules, read from their source, late ones included."""

import ast
import re
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    importer: str  # module
    target: str  # module, or package where the name is not a module
    is_late: bool  # inside a function


def product_files() -> list[Path]:
    folders = ("lenslet", "frontend", "infra", "bench", "fuzz", "data")
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*.py"))]
    return [*files, *(Path(name) for name in ("lambda_func.py", "train.py", "convert.py", "test.py"))]


def all_files() -> list[Path]:
    return [*product_files(), *sorted(Path("tests").rglob("*.py"))]


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_of, all_files()))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


BY_NAME = ("import_module", "__import__", "run_module")  # functions that take a module's name


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    importer = module_of(path)
    for node, is_late in _suspects(path):
        yield from (Import(importer, target, is_late) for target in _targets(node, path))


@cache
def _suspects(path: Path) -> tuple[tuple[ast.AST, bool], ...]:
    """The imports and calls of the module, and whether each is inside a function."""
    found: list[tuple[ast.AST, bool]] = []
    waiting: deque[tuple[ast.AST, bool]] = deque([(tree_of(path), False)])
    while waiting:
        node, is_late = waiting.popleft()
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            found.append((node, is_late))
        is_late = is_late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting.extend((child, is_late) for child in ast.iter_child_nodes(node))
    return tuple(found)


def _targets(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (_beside(path, alias.name) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert not node.level, f"{path}:{node.lineno}: relative import"
        for alias in node.names:
            assert alias.name not in BY_NAME or not alias.asname, (
                f"{path}:{node.lineno}: {alias.name} goes by another name, so that its calls are not seen"
            )
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in modules() else _beside(path, str(node.module))
    if (named := _named(node)) is not None:
        yield from _called(named, module_of(path))


def _beside(path: Path, name: str) -> str:
    """Streamlit runs frontend/app.py as a script, so that its modules import each other without their folder."""
    whole = f"{path.parts[0]}.{name}"
    return whole if path.parts[0] == "frontend" and whole in modules() else name


def _named(node: ast.AST) -> ast.expr | None:
    """The argument of a call that imports or runs the module of this name."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    named = [*node.args[:1], *(each.value for each in node.keywords if each.arg in ("name", "mod_name"))]
    return named[0] if named and function in BY_NAME else None


def _called(named: ast.expr, importer: str) -> Iterator[str]:
    """The module of a string; of an f-string, every other module whose name it may become."""
    if isinstance(named, ast.Constant):
        assert not str(named.value).startswith("."), f"{importer}:{named.lineno}: relative import"
        yield str(named.value)
    if isinstance(named, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else None for part in named.values]
        pattern = "".join(r"\w+" if part is None else re.escape(str(part)) for part in parts)
        found = [name for name in sorted(modules()) if re.fullmatch(pattern, name) and name != importer]
        yield from found or [str(parts[0] or "").rstrip(".")]


def imports_by_variable(path: Path) -> bool:
    """Whether the module imports something whose name its source does not say."""
    named = [found for node, _ in _suspects(path) if (found := _named(node)) is not None]
    return any(not isinstance(each, ast.Constant | ast.JoinedStr) for each in named)


def needed_by(module: str, ignored: tuple[str, ...] = ()) -> set[Path]:
    """Files of `module` and of all that it imports, directly or not; what begins with `ignored` is not followed."""
    files = {module_of(path): path for path in product_files()}
    needed, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in files and files[name] not in needed and not name.startswith(ignored):
            needed.add(files[name])
            waiting += [each.target for each in imports_of(files[name])]
            waiting += [name.rpartition(".")[0]]  # a module's package is imported before it
    return needed
