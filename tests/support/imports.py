"""The imports of the project's modules, read from their source, late ones included."""

import ast
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


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_of, product_files()))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[Import]:
    tree, importer = tree_of(path), module_of(path)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    late = {id(inner) for node in ast.walk(tree) if isinstance(node, functions) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(importer, alias.name, id(node) in late) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(importer, whole if whole in modules() else str(node.module), id(node) in late)


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
