"""What stands on a page of the report, read back from its HTML."""

import html
import re
from html.parser import HTMLParser

_COMMAND = re.compile(r'<code>stillhouse sql "(.*?)"</code>', re.DOTALL)


class Parsed(HTMLParser):
    """The cells of every table by its caption, and every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._caption = ""
        self._rows: list[list[str]] = []
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "caption":
            self._caption, self._rows = "", []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")
        self._is_open = tag in ("caption", "th", "td", "a")

    def handle_endtag(self, tag: str) -> None:
        self._is_open = False
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data: str) -> None:
        if not self._is_open:
            return
        if self._rows and self._rows[-1]:
            self._rows[-1][-1] += data
        else:
            self._caption += data


def parsed(page: str) -> Parsed:
    """The page's tables and tags."""
    parser = Parsed()
    parser.feed(page)
    return parser


def commands(page: str) -> list[str]:
    """The SQL of every `stillhouse sql` on the page, as a person copies it."""
    return [html.unescape(found) for found in _COMMAND.findall(page)]
