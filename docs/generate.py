"""Writes what of the documentation follows from the code or from a lake.

`make docs` writes the pages of docs/reference anew; tests/test_docs.py compares them with the code,
so none can go stale. `python -m docs.generate --cookbook LAKE` runs every command of
docs/cookbook.md on that lake and writes down what it answered.
"""

import argparse
from pathlib import Path

from docs.writers.commands import commands_page
from docs.writers.cookbook import answered
from docs.writers.recipe import recipe_page
from docs.writers.tables import tables_page

DOCS = Path(__file__).parent
REFERENCE = DOCS / "reference"
COOKBOOK = DOCS / "cookbook.md"
NOTICE = "<!-- Written by `make docs` from the code: change that, not this page. -->\n\n"


def reference_pages() -> dict[Path, str]:
    """The text of every page of the reference, as the code is now."""
    texts = {"commands": commands_page(), "recipe": recipe_page(), "tables": tables_page()}
    return {REFERENCE / f"{name}.md": NOTICE + text for name, text in texts.items()}


def main() -> None:
    """The command of `make docs`."""
    parser = argparse.ArgumentParser(description="Write the generated documentation anew.")
    parser.add_argument(
        "--cookbook", type=Path, metavar="LAKE", help="answer the cookbook's questions on this lake"
    )
    lake: Path | None = parser.parse_args().cookbook
    if lake is None:
        pages = reference_pages()
    else:
        pages = {COOKBOOK: answered(COOKBOOK.read_text(encoding="utf-8"), lake.absolute())}
    REFERENCE.mkdir(exist_ok=True)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
