"""The documentation: generated pages are as the code is, links lead somewhere, fences hold what
they say.
"""

import ast
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from docs.generate import reference_pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.joinpath("docs").rglob("*.md")])
PACKAGES = ("datagen", "distill", "flows", "warehouse")
GENERATED = reference_pages()

_FENCE = re.compile(r"^```(.*)\n((?:(?!^```).*\n)*)^```$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _fences(page: Path) -> Iterator[tuple[str, str]]:
    for match in _FENCE.finditer(_text(page)):
        yield match[1], match[2]


@pytest.mark.parametrize("page", GENERATED, ids=lambda page: page.name)
def test_generated_pages_are_as_the_code_is(page: Path) -> None:
    found = _text(page) if page.is_file() else ""
    assert found == GENERATED[page], f"{_name(page)} is stale: run `make docs`"


def test_the_reference_holds_nothing_else() -> None:
    assert {*ROOT.joinpath("docs", "reference").iterdir()} == GENERATED.keys()


def _anchors(page: Path) -> set[str]:
    """The names that headings get where Markdown is shown on the web."""
    prose = _FENCE.sub("", _text(page))
    titles = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    links = _LINK.findall(re.sub(r"`[^`\n]*\]\([^`\n]*`", "", _FENCE.sub("", _text(page))))
    for link in links:
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{_name(page)}: {link} leads nowhere"
        if anchor:
            assert anchor in _anchors(target), f"{_name(page)}: {link}: no such heading"


def _check_sh(source: str) -> None:
    assert "$ " not in source, "a prompt is not part of a command"
    for command in re.split(r"\n(?=\w)", source):
        assert shlex.split(command, comments=True) or command.startswith("#")


READERS: dict[str, Callable[[str], object]] = {
    "sh": _check_sh,
    "python": ast.parse,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "sql": str,
    "ini": str,
    "text": str,
}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_fences_hold_what_they_say(page: Path) -> None:
    assert _text(page).count("```") == 2 * len(list(_fences(page))), "a fence is not closed"
    for language, source in _fences(page):
        assert language in READERS, f"{_name(page)}: a fence of {language or 'no language'}"
        READERS[language](source)


def test_every_page_can_be_found_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            links = (link.partition("#")[0] for link in _LINK.findall(_text(page)))
            targets = ((page.parent / link).resolve() for link in links if link.endswith(".md"))
            waiting += [target for target in targets if target.is_file()]
    lost = [_name(page) for page in PAGES if page.parent != ROOT and page not in seen]
    assert lost == []


def test_every_variable_that_the_code_reads_is_in_the_reference() -> None:
    sources = (path for package in PACKAGES for path in ROOT.joinpath(package).rglob("*.py"))
    read = {name for path in sources for name in re.findall(r"\bSTILLHOUSE_[A-Z_]+\b", _text(path))}
    page = _text(ROOT / "docs" / "reference" / "commands.md")
    assert {"STILLHOUSE_DATA", "STILLHOUSE_CACHE"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []
