"""The import law, the owners of libraries, and the bounds of size: read from the source."""

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Package -> the other packages of ours that it may import.
IMPORT_LAW = {
    "warehouse": frozenset[str](),
    "datagen": frozenset({"warehouse"}),
    "distill": frozenset({"warehouse"}),
    "flows": frozenset({"warehouse", "datagen", "distill"}),
}
# Library -> the only places, as prefixes of paths, that may import it.
OWNERS = {
    "prefect": ("flows/",),
    "duckdb": ("warehouse/",),
    "sqlalchemy": ("warehouse/",),
    "torch": ("datagen/engines/", "distill/", "flows/"),
    "transformers": ("datagen/engines/", "distill/", "flows/"),
    "vllm": ("datagen/engines/",),
    "datasets": ("warehouse/",),
    "lm_eval": ("distill/",),
}
ONE_FILE_ONLY = ("vllm", "datasets", "lm_eval")
UNSAFE_MODULES = frozenset(
    {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
)

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed file: its path from the root, in POSIX form, and its tree."""

    path: str
    num_lines: int
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.path.split("/")[0]

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _sources(*folders: str) -> list[Source]:
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    texts = [(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]
    return [Source(path, text.count("\n"), ast.parse(text, path)) for path, text in texts]


PACKAGES = _sources(*IMPORT_LAW)
EVERYTHING = [*PACKAGES, *_sources("tests")]


def _imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every import below `node`, function bodies included."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
            yield from ((child.lineno, f"{child.module}.{alias.name}") for alias in child.names)


def _imports_of(library: str) -> list[tuple[str, int]]:
    return [
        (source.path, line)
        for source in PACKAGES
        for line, name in _imports(source.tree)
        if name.split(".")[0] == library
    ]


def _functions() -> Iterator[tuple[Source, Function]]:
    for source in EVERYTHING:
        for node in ast.walk(source.tree):
            if isinstance(node, Function):
                yield source, node


def _assert_none(offenders: list[str], law: str) -> None:
    assert not offenders, "\n  ".join([f"{law}; found:", *offenders])


def test_every_package_has_files() -> None:
    assert {source.package for source in PACKAGES} == set(IMPORT_LAW)


def test_packages_import_only_what_the_law_allows() -> None:
    offenders = [
        f"{source.path}:{line} imports {name}"
        for source in PACKAGES
        for line, name in _imports(source.tree)
        if (package := name.split(".")[0]) in IMPORT_LAW
        and package != source.package
        and package not in IMPORT_LAW[source.package]
    ]
    _assert_none(offenders, "flows -> datagen, distill, warehouse; datagen, distill -> warehouse")


def _at_import_time(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Imports that run when the module is imported: not those in functions or for types alone."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield from _imports(statement)
        elif isinstance(statement, ast.Try | ast.With | ast.ClassDef):
            yield from _at_import_time(statement.body)
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.unparse(statement.test):
            yield from _at_import_time([*statement.body, *statement.orelse])


def test_modules_import_each_other_without_a_cycle() -> None:
    modules = {source.module for source in PACKAGES}
    graph: dict[str, set[str]] = {}
    for source in PACKAGES:
        names = {name for _, name in _at_import_time(source.tree.body)}
        targets = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[source.module] = (targets & modules) - {source.module}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", OWNERS)
def test_library_is_imported_only_by_its_owner(library: str) -> None:
    offenders = [
        f"{path}:{line}"
        for path, line in _imports_of(library)
        if not path.startswith(OWNERS[library])
    ]
    _assert_none(offenders, f"{library} belongs to {', '.join(OWNERS[library])}")


@pytest.mark.parametrize("library", ONE_FILE_ONLY)
def test_library_has_at_most_one_file(library: str) -> None:
    assert len({path for path, _ in _imports_of(library)}) <= 1


def test_imports_are_absolute() -> None:
    offenders = [
        f"{source.path}:{node.lineno}"
        for source in EVERYTHING
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    _assert_none(offenders, "imports are absolute")


def test_no_module_shadows_a_library_or_a_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {re.split("[^a-z0-9-]", line)[0].replace("-", "_") for line in asked}
    taken = names | set(OWNERS) | set(IMPORT_LAW) | sys.stdlib_module_names
    offenders = [
        source.path for source in PACKAGES for part in source.module.split(".")[1:] if part in taken
    ]
    _assert_none(offenders, "no module is named after a dependency, the stdlib or our packages")


def test_files_are_short() -> None:
    offenders = [
        f"{source.path}: {source.num_lines} lines"
        for source in EVERYTHING
        if source.num_lines > MAX_FILE_LINES
    ]
    _assert_none(offenders, f"a file has at most {MAX_FILE_LINES} lines")


def test_functions_are_short() -> None:
    offenders = [
        f"{source.path}:{function.lineno} {function.name}: {length} lines"
        for source, function in _functions()
        if (length := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION_LINES
    ]
    _assert_none(offenders, f"a function has at most {MAX_FUNCTION_LINES} lines")


def _num_parameters(function: Function) -> int:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    is_method = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - is_method + (given.vararg is not None) + (given.kwarg is not None)


def test_functions_have_few_parameters() -> None:
    offenders = [
        f"{source.path}:{function.lineno} {function.name}: {count} parameters"
        for source, function in _functions()
        if (count := _num_parameters(function)) > MAX_PARAMETERS
    ]
    _assert_none(offenders, f"a function has at most {MAX_PARAMETERS} parameters")


def _unsafe(node: ast.AST) -> str | None:
    """Why `node` may run foreign code or hide an error; None if it does neither."""
    match node:
        case ast.keyword(arg="trust_remote_code", value=value):
            is_off = isinstance(value, ast.Constant) and value.value is False
            return None if is_off else "trust_remote_code"
        case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
            return "torch.load reads pickle"
        case ast.ExceptHandler(type=None):
            return "a bare except"
        case ast.ExceptHandler(type=ast.Name(id="Exception" | "BaseException"), body=[ast.Pass()]):
            return "an exception of any kind passed over"
        case ast.Call(func=ast.Attribute(attr="suppress") | ast.Name(id="suppress"), args=args):
            names = {argument.id for argument in args if isinstance(argument, ast.Name)}
            return "every exception suppressed" if names & {"Exception", "BaseException"} else None
    return None


def test_nothing_runs_foreign_code_or_swallows_errors() -> None:
    offenders = [
        f"{source.path}:{getattr(node, 'lineno', '?')} {reason}"
        for source in PACKAGES
        for node in ast.walk(source.tree)
        if (reason := _unsafe(node))
    ]
    offenders += [
        f"{source.path}:{line} imports {name}"
        for source in PACKAGES
        for line, name in _imports(source.tree)
        if not UNSAFE_MODULES.isdisjoint(name.split("."))
    ]
    _assert_none(offenders, "no pickle, no remote code, no swallowed exception")


@pytest.mark.parametrize(
    ("code", "is_unsafe"),
    [
        ("f(trust_remote_code=True)", True),
        ("f(trust_remote_code=False)", False),
        ("torch.load(path)", True),
        ("try:\n    f()\nexcept:\n    g()", True),
        ("try:\n    f()\nexcept Exception:\n    pass", True),
        ("try:\n    f()\nexcept OSError:\n    pass", False),
        ("with contextlib.suppress(Exception):\n    f()", True),
        ("with contextlib.suppress(FileNotFoundError):\n    f()", False),
    ],
)
def test_unsafe_code_is_recognised(code: str, is_unsafe: bool) -> None:
    assert any(_unsafe(node) for node in ast.walk(ast.parse(code))) is is_unsafe
