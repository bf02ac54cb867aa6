"""Reads the words of a vocabulary file: TSV, CSV or TXT.

TSV and CSV begin with a header: a column lemma (or word) and part_of_speech, and where wanted
forms, weight and topic, in any order. TXT is one word a line, and after it, where wanted, its part
of speech, weight and topic; without a part of speech it is an "other", which texts may use and
prompts never ask for. Lines that begin with '#' are comments. Where a verb, noun, adjective or
adverb has no forms, they are proposed (datagen.inflections). What one word may look like:
datagen.word_rules. Every error names file and line.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from datagen.errors import VocabularyError
from datagen.inflections import INFLECTED, proposed_forms
from datagen.word_rules import (
    checked_forms,
    checked_sign,
    checked_topic,
    checked_weight,
    checked_word,
    is_sign,
    shown,
)
from datagen.words import PartOfSpeech, Word

SUFFIXES = (".tsv", ".csv", ".txt")
_HEADER = ("lemma", "part_of_speech", "forms", "weight", "topic")
_ALSO = {"word": "lemma", "pos": "part_of_speech", "part": "part_of_speech"}
_OPTIONAL = ("weight", "topic")
_SHORT = {
    "n": "noun", "v": "verb", "a": "adjective", "adj": "adjective", "adv": "adverb",
    "aux": "auxiliary", "conj": "conjunction", "cconj": "conjunction", "sconj": "conjunction",
    "det": "determiner", "article": "determiner", "intj": "interjection", "interj": "interjection",
    "propn": "name", "num": "number", "numeral": "number", "x": "other", "adp": "preposition",
    "prep": "preposition", "pron": "pronoun", "punct": "punctuation",
}  # fmt: skip
_PARTS = {str(part): part for part in PartOfSpeech} | {
    short: PartOfSpeech(name) for short, name in _SHORT.items()
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A word of a file, the line that it stands in, and whether its forms were proposed by us."""

    line: int
    word: Word
    is_proposed: bool


@dataclass(frozen=True, slots=True)
class _Cells:
    """A line's cells by column; a column that the file lacks is an empty cell."""

    lemma: str
    part_of_speech: str
    forms: str = ""
    weight: str = ""
    topic: str = ""


def has_vocabulary_suffix(path: str) -> bool:
    """True for a path that ends as vocabulary files do."""
    return path.lower().endswith(SUFFIXES)


def read_entries(where: str, data: bytes) -> list[Entry]:
    """The words of a vocabulary file, in its order; the kind follows from how `where` ends.

    VocabularyError names file and line, what was expected there and what was found.
    """
    lines = _decoded(where, data)
    suffix = PurePath(where).suffix.lower()
    if suffix == ".txt":
        numbered = _text_rows(where, lines)
    elif suffix == ".csv":
        numbered = _table_rows(where, _csv_cells(where, lines), "comma")
    else:
        numbered = _table_rows(where, _tsv_cells(lines), "tab")
    entries: dict[tuple[str, PartOfSpeech], Entry] = {}
    for number, cells in numbered:
        entry = _entry(f"{where}, line {number}", number, cells)
        key = (entry.word.lemma, entry.word.part_of_speech)
        if key in entries:
            raise VocabularyError(
                f"{where}, line {number}: expected each lemma once per part of speech, found "
                f"{key[0]!r} as {key[1]} again (first in line {entries[key].line}); join the lines"
            )
        entries[key] = entry
    if not entries:
        below = "" if suffix == ".txt" else " below the header"
        raise VocabularyError(
            f"{where}: expected at least one word{below}, found none; write one on each line"
        )
    return list(entries.values())


def _entry(place: str, number: int, cells: _Cells) -> Entry:
    part = _part_of_speech(place, cells)
    weight = checked_weight(place, cells.weight)
    topic = checked_topic(place, cells.topic)
    if part is PartOfSpeech.PUNCTUATION:
        sign = checked_sign(place, cells.lemma, cells.forms)
        return Entry(number, Word(sign, part, (sign,), weight, topic), False)
    lemma = checked_word(place, cells.lemma, part)
    if not cells.forms:
        word = Word(lemma, part, proposed_forms(lemma, part), weight, topic)
        return Entry(number, word, part in INFLECTED)
    forms = checked_forms(place, cells.forms, part)
    if lemma not in forms:
        raise VocabularyError(
            f"{place}: expected the lemma {lemma!r} among its forms, "
            f"found {shown(cells.forms)}; add it"
        )
    return Entry(number, Word(lemma, part, forms, weight, topic), False)


def _part_of_speech(place: str, cells: _Cells) -> PartOfSpeech:
    part = _PARTS.get(cells.part_of_speech) or _PARTS.get(cells.part_of_speech.lower())
    if part is None:
        raise VocabularyError(
            f"{place}: expected a part of speech ({', '.join(PartOfSpeech)}), "
            f"found {shown(cells.part_of_speech)}"
        )
    return part


def _decoded(where: str, data: bytes) -> list[str]:
    lines = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            lines.append(raw.decode())
        except UnicodeDecodeError as exc:
            raise VocabularyError(
                f"{where}, line {number}: expected UTF-8, found byte 0x{raw[exc.start]:02x} "
                f"at column {exc.start + 1}; save the file as UTF-8"
            ) from exc
    return lines


def _text_rows(where: str, lines: Iterable[str]) -> Iterator[tuple[int, _Cells]]:
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        comment = next((i for i, cell in enumerate(cells) if cell.startswith("#")), len(cells))
        if comment:
            yield number, _text_cells(f"{where}, line {number}", cells[:comment])


def _text_cells(place: str, cells: Sequence[str]) -> _Cells:
    """Word, then part of speech, weight, topic: each may be left out, none may change places."""
    rest = list(cells[1:])
    has_part = bool(rest) and not rest[0].isdecimal()
    part = rest.pop(0) if has_part else "punctuation" if is_sign(cells[0]) else "other"
    weight = rest.pop(0) if rest and rest[0].isdecimal() else ""
    topic = rest.pop(0) if rest else ""
    if rest:
        raise VocabularyError(
            f"{place}: expected one word and, where wanted, its part of speech, weight and topic, "
            f"found {shown(' '.join(cells))}; write one word on each line, without spaces in it"
        )
    return _Cells(cells[0], part, "", weight, topic)


def _tsv_cells(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        yield number, [_unquoted(cell) for cell in cells] if '"' in line else cells


def _unquoted(cell: str) -> str:
    """Spreadsheets put cells with commas in quotes, also in tab-separated files."""
    if len(cell) > 2 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


def _csv_cells(where: str, lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    header = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    sign = ";" if ";" in header and "," not in header else ","
    begins_row = True

    def without_comments() -> Iterator[str]:
        """A quote in a comment opens no cell."""
        nonlocal begins_row
        for line in lines:
            first = line.partition(sign)[0].strip()
            is_comment = begins_row and first.startswith("#") and first != "#"
            begins_row = False
            yield "\n" if is_comment else line + "\n"

    reader = csv.reader(without_comments(), delimiter=sign, strict=True)
    try:
        for row in reader:
            begins_row = True
            yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as exc:
        raise VocabularyError(
            f"{where}, line {reader.line_num}: expected comma-separated cells, quoted where they "
            f"hold commas, found a line that cannot be read so ({exc}); mend its quotes"
        ) from exc


def _table_rows(
    where: str, rows: Iterable[tuple[int, list[str]]], separator: str
) -> Iterator[tuple[int, _Cells]]:
    columns: list[str] = []
    places: list[int] = []  # where each column of _HEADER stands; beyond the end: an empty cell
    for number, cells in rows:
        if not any(cells) or _is_comment(cells):
            continue
        if not columns:
            columns = _checked_header(f"{where}, line {number}", cells, separator)
            places = [columns.index(name) if name in columns else -1 for name in _HEADER]
            continue
        if len(cells) != len(columns):
            if not _lacks_only_optional(columns, cells):
                raise VocabularyError(
                    f"{where}, line {number}: expected {len(columns)} {separator}-separated "
                    f"columns ({', '.join(columns)}), found {len(cells)}"
                )
            cells = cells + [""] * (len(columns) - len(cells))
        cells.append("")
        yield number, _Cells(*[cells[place] for place in places])


def _lacks_only_optional(columns: Sequence[str], cells: Sequence[str]) -> bool:
    """Editors strip the tabs of empty cells at the end of a line."""
    missing = columns[len(cells) :]
    return len(cells) <= len(columns) and set(missing) <= set(_OPTIONAL)


def _is_comment(cells: Sequence[str]) -> bool:
    """The sign '#' itself can be an entry, in a cell of its own."""
    return cells[0].startswith("#") and not (cells[0] == "#" and any(cells[1:]))


def _checked_header(place: str, cells: Sequence[str], separator: str) -> list[str]:
    columns = [_ALSO.get(cell.lower(), cell.lower()) for cell in cells]
    is_known = set(columns) <= set(_HEADER) and len(set(columns)) == len(columns)
    if not is_known or not {"lemma", "part_of_speech"} <= set(columns):
        raise VocabularyError(
            f"{place}: expected the {separator}-separated header {', '.join(_HEADER)} (the last "
            f"three where wanted, in any order), found {shown(', '.join(cells))}"
        )
    return columns
