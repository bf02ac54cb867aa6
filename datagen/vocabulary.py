"""The controlled vocabulary: the words that prompts draw from and stories are measured against.

A vocabulary is a TSV file with the columns lemma, part_of_speech, forms (comma separated, the
lemma among them); lines that begin with '#' are comments. A word that is noun and verb stands
twice. Words are sorted on loading, so neither the plan nor the digest depends on the order of the
lines.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path

from datagen.errors import VocabularyError
from warehouse.identity import digest

COLUMNS = ("lemma", "part_of_speech", "forms")
_FORM = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")


class PartOfSpeech(StrEnum):
    """What a word is; prompts ask for the first three."""

    VERB = "verb"
    NOUN = "noun"
    ADJECTIVE = "adjective"
    ADVERB = "adverb"
    AUXILIARY = "auxiliary"
    CONJUNCTION = "conjunction"
    DETERMINER = "determiner"
    INTERJECTION = "interjection"
    NAME = "name"
    NUMBER = "number"
    PREPOSITION = "preposition"
    PRONOUN = "pronoun"
    QUESTION = "question"


@dataclass(frozen=True, slots=True)
class Word:
    """A lemma as one part of speech and all its forms, spelled as in the file ("Tom", "I")."""

    lemma: str
    part_of_speech: PartOfSpeech
    forms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A named list of words.

    The digest is that of the words and forms: it depends neither on the name nor on their order.
    `forms` holds every form of every word, lower case.
    """

    name: str
    words: tuple[Word, ...]
    digest: str
    forms: frozenset[str] = field(init=False, repr=False, compare=False)
    _forms_of: dict[tuple[str, PartOfSpeech], frozenset[str]] = field(
        init=False, repr=False, compare=False
    )
    _lemmas: dict[PartOfSpeech, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        forms_of = {
            (word.lemma, word.part_of_speech): frozenset(form.lower() for form in word.forms)
            for word in self.words
        }
        lemmas = {
            part: tuple(word.lemma for word in self.words if word.part_of_speech is part)
            for part in PartOfSpeech
        }
        object.__setattr__(self, "_forms_of", forms_of)
        object.__setattr__(self, "_lemmas", lemmas)
        object.__setattr__(self, "forms", frozenset[str]().union(*forms_of.values()))

    def lemmas(self, part_of_speech: PartOfSpeech) -> tuple[str, ...]:
        """The lemmas of that part of speech, sorted."""
        return self._lemmas[part_of_speech]

    def forms_of(self, lemma: str, part_of_speech: PartOfSpeech) -> frozenset[str]:
        """The lower-case forms of a word of this vocabulary; VocabularyError if it is not one."""
        try:
            return self._forms_of[lemma, part_of_speech]
        except KeyError as exc:
            raise VocabularyError(
                f"vocabulary {self.name}: expected one of its {part_of_speech}s, found {lemma!r}; "
                "use the vocabulary that the prompt was drawn from, or add the word to its file"
            ) from exc


def shipped_vocabularies() -> tuple[str, ...]:
    """The names of the vocabularies that come with the package, sorted."""
    folder = resources.files("datagen") / "vocabularies"
    return tuple(
        sorted(item.name[: -len(".tsv")] for item in folder.iterdir() if item.name.endswith(".tsv"))
    )


def load_vocabulary(name_or_path: str) -> Vocabulary:
    """The shipped vocabulary of that name, or the one in that .tsv file.

    VocabularyError names file and line, what was expected there and what was found; it is also
    raised for a vocabulary that no prompt can be drawn from.
    """
    if name_or_path.endswith(".tsv"):
        return _with_prompts(_load_file(Path(name_or_path)))
    known = shipped_vocabularies()
    if name_or_path not in known:
        raise VocabularyError(
            f"expected the name of a vocabulary ({', '.join(known)}) or the path of a .tsv file, "
            f"found {name_or_path!r}"
        )
    resource = resources.files("datagen") / "vocabularies" / f"{name_or_path}.tsv"
    return parse_vocabulary(name_or_path, f"{name_or_path}.tsv", resource.read_bytes())


def _load_file(path: Path) -> Vocabulary:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as exc:  # ValueError: a path that no system can have
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise VocabularyError(
            f"{path}: expected a readable vocabulary file, found none ({why}); "
            f"give another path or a shipped name ({', '.join(shipped_vocabularies())})"
        ) from exc
    return parse_vocabulary(path.stem, str(path), data)


def _with_prompts(vocabulary: Vocabulary) -> Vocabulary:
    """Found before a night is claimed for it: each prompt asks for one word of each of these."""
    asked = (PartOfSpeech.VERB, PartOfSpeech.NOUN, PartOfSpeech.ADJECTIVE)
    missing = [part for part in asked if not vocabulary.lemmas(part)]
    if missing:
        raise VocabularyError(
            f"vocabulary {vocabulary.name}: expected at least one {', one '.join(asked)}, as each "
            f"prompt asks for one of each; found no {' and no '.join(missing)}; add to its file"
        )
    return vocabulary


def parse_vocabulary(name: str, where: str, data: bytes) -> Vocabulary:
    """The vocabulary that the bytes of a TSV file hold; errors call the file `where`."""
    words: dict[tuple[str, PartOfSpeech], Word] = {}
    lines: dict[tuple[str, PartOfSpeech], int] = {}
    for number, word in _parse_lines(where, data):
        key = (word.lemma, word.part_of_speech)
        if key in words:
            raise VocabularyError(
                f"{where}, line {number}: expected each lemma once per part of speech, "
                f"found {word.lemma!r} as {word.part_of_speech} again "
                f"(first in line {lines[key]}); join the two lines"
            )
        words[key], lines[key] = word, number
    if not words:
        raise VocabularyError(
            f"{where}: expected at least one word below the header, found none; write one on each "
            f"line: {', '.join(COLUMNS)}"
        )
    ordered = tuple(words[key] for key in sorted(words))
    content = [[w.lemma, str(w.part_of_speech), sorted(w.forms)] for w in ordered]
    return Vocabulary(name, ordered, digest("vocabulary", content))


def _parse_lines(where: str, data: bytes) -> Iterator[tuple[int, Word]]:
    has_header = False
    for number, raw in enumerate(data.splitlines(), start=1):
        place = f"{where}, line {number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as exc:
            raise VocabularyError(
                f"{place}: expected UTF-8, found byte 0x{raw[exc.start]:02x} "
                f"at column {exc.start + 1}; save the file as UTF-8"
            ) from exc
        if not line.strip() or line.startswith("#"):
            continue
        cells = tuple(cell.strip() for cell in line.split("\t"))
        if not has_header:
            _check_header(place, cells)
            has_header = True
        else:
            yield number, _parse_word(place, cells)


def _check_header(place: str, cells: tuple[str, ...]) -> None:
    if cells != COLUMNS:
        raise VocabularyError(
            f"{place}: expected the tab-separated header {', '.join(COLUMNS)}, "
            f"found {', '.join(cells)!r}"
        )


def _parse_word(place: str, cells: tuple[str, ...]) -> Word:
    if len(cells) != len(COLUMNS):
        raise VocabularyError(
            f"{place}: expected {len(COLUMNS)} tab-separated columns ({', '.join(COLUMNS)}), "
            f"found {len(cells)}"
        )
    lemma, part, forms_cell = cells
    forms = tuple(form.strip() for form in forms_cell.split(","))
    if part not in set(PartOfSpeech):
        raise VocabularyError(
            f"{place}: expected a part of speech ({', '.join(PartOfSpeech)}), found {part!r}"
        )
    for form in (lemma, *forms):
        if not _FORM.fullmatch(form):
            raise VocabularyError(
                f"{place}: expected words of the letters a to z with inner apostrophes or hyphens, "
                f"found {form!r}"
            )
    if lemma not in forms:
        raise VocabularyError(
            f"{place}: expected the lemma {lemma!r} among its forms, found {forms_cell!r}; add it"
        )
    return Word(lemma, PartOfSpeech(part), forms)
