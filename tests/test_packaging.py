"""The installed distribution: who owns the generic package names, data files, exact versions."""

import re
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("datagen", "distill", "flows", "warehouse")
# What only torch's CUDA build asks for; constraints.txt leaves it out on purpose.
CUDA_PACKAGES = re.compile(r"(cuda|nvidia|triton)\b")


def _constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {name: Version(version) for name, version in pins}


def _closure(root: str, extra: str) -> set[str]:
    """Names of all installed distributions that `root[extra]` needs here."""
    found: set[tuple[str, str]] = set()
    queue = [(root, ""), (root, extra)]
    while queue:
        name, wanted = item = queue.pop()
        if item in found or CUDA_PACKAGES.match(name):
            continue
        found.add(item)
        for text in metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": wanted}):
                queue += [(canonicalize_name(need.name), e) for e in ("", *need.extras)]
    return {name for name, _ in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_package(package: str) -> None:
    assert set(metadata.packages_distributions()[package]) == {"stillhouse"}


def test_the_distribution_owns_nothing_else() -> None:
    owned = {
        name for name, owners in metadata.packages_distributions().items() if "stillhouse" in owners
    }
    assert {name for name in owned if not name.startswith("__editable__")} == set(PACKAGES)


def test_the_command_is_the_cli() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="stillhouse")
    assert command.value == "flows.cli:main"


@pytest.mark.parametrize(
    ("package", "path"),
    [
        *((package, "py.typed") for package in PACKAGES),
        ("datagen", "vocabularies/age3.tsv"),
        ("flows", "recipes/quickstart.toml"),
        ("flows", "recipes/smoke.toml"),
        ("flows", "prefect.yaml"),
        ("flows", "report/style.css"),
        ("flows", "report/templates/night.html.j2"),
        ("flows", "suites/first-grammar.jsonl"),
        ("warehouse", "sql/lineage.sql"),
    ],
)
def test_data_is_where_the_package_looks(package: str, path: str) -> None:
    assert files(package).joinpath(path).is_file()


def test_changelog_knows_the_version() -> None:
    version = metadata.version("stillhouse")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_constraints_pin_the_whole_closure_as_installed() -> None:
    pins = _constraints()
    needed = _closure("stillhouse", "dev") - {"stillhouse"}
    installed = {name: Version(metadata.version(name)) for name in needed}
    wrong = [
        f"{name} {version}, constraints.txt has {pins.get(name, 'nothing')}"
        for name, version in sorted(installed.items())
        # A build's local label (2.13.0+cpu) is not part of the version that is pinned.
        if name not in pins or Version(version.public) != pins[name]
    ]
    assert not wrong, wrong


def test_constraints_name_no_place_and_no_cuda_package() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    assert not re.search(r"://|/|--|@", text)
    assert not [name for name in _constraints() if CUDA_PACKAGES.match(name)]
