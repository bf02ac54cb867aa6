"""The controlled vocabulary: the words that prompts draw from and stories are measured against.

A word that is noun and verb stands twice. Words are sorted on loading, so neither the plan nor the
digest depends on the order of the lines. How files look: datagen.vocabulary_files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from datagen.errors import VocabularyError
from datagen.vocabulary_files import SUFFIXES, has_vocabulary_suffix, read_entries
from datagen.words import PartOfSpeech, Word
from warehouse.identity import Json, digest

__all__ = [
    "ASKED_BY_STORIES",
    "DEFAULT_PUNCTUATION",
    "PartOfSpeech",
    "Vocabulary",
    "Word",
    "load_vocabulary",
    "parse_vocabulary",
    "shipped_vocabularies",
    "vocabulary_bytes",
    "vocabulary_of",
]
ASKED_BY_STORIES = (PartOfSpeech.VERB, PartOfSpeech.NOUN, PartOfSpeech.ADJECTIVE)
DEFAULT_PUNCTUATION = frozenset(
    ".,!?;:'\"-()\u2013\u2014\u2026\u2018\u2019\u201c\u201d"  # dashes, ellipsis, curly quotes
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A named list of words.

    The digest is that of words, forms, weights and topics: it depends neither on the name nor on
    their order. `forms` holds every form of every word, lower case; punctuation is not in it.
    `punctuation` holds the single signs that a text may use. `characters` holds those signs and the
    letters of all forms, small and capital, sorted.
    """

    name: str
    words: tuple[Word, ...]
    digest: str
    forms: frozenset[str] = field(init=False, repr=False, compare=False)
    punctuation: frozenset[str] = field(init=False, repr=False, compare=False)
    characters: str = field(init=False, repr=False, compare=False)
    _forms_of: dict[tuple[str, PartOfSpeech], frozenset[str]] = field(
        init=False, repr=False, compare=False
    )
    _words_of: dict[PartOfSpeech, tuple[Word, ...]] = field(init=False, repr=False, compare=False)
    _lemmas: dict[PartOfSpeech, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words_of: dict[PartOfSpeech, list[Word]] = {part: [] for part in PartOfSpeech}
        for word in self.words:
            words_of[word.part_of_speech].append(word)
        signs = words_of[PartOfSpeech.PUNCTUATION]
        forms_of = {
            (word.lemma, word.part_of_speech): frozenset(form.lower() for form in word.forms)
            for word in self.words
        }
        known = (forms for key, forms in forms_of.items() if key[1] is not PartOfSpeech.PUNCTUATION)
        put = object.__setattr__
        put(self, "_forms_of", forms_of)
        put(self, "_words_of", {part: tuple(words) for part, words in words_of.items()})
        lemmas = {part: tuple(word.lemma for word in words) for part, words in words_of.items()}
        put(self, "_lemmas", lemmas)
        put(self, "forms", frozenset[str]().union(*known))
        put(self, "punctuation", frozenset(sign.lemma for sign in signs) or DEFAULT_PUNCTUATION)
        spelled = (form for word in self.words for form in word.forms)
        cases = (form + form.lower() + form.upper() for form in spelled)
        put(self, "characters", "".join(sorted(self.punctuation.union(*cases))))

    def words_of(self, part_of_speech: PartOfSpeech) -> tuple[Word, ...]:
        """The words of that part of speech, sorted by lemma."""
        return self._words_of[part_of_speech]

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


def load_vocabulary(
    name_or_path: str, needs: Sequence[PartOfSpeech] = ASKED_BY_STORIES
) -> Vocabulary:
    """The shipped vocabulary of that name, or the one in that .tsv, .csv or .txt file.

    VocabularyError names file and line, what was expected there and what was found; it is also
    raised where a part of speech in `needs` has no word, so before a night is claimed for it.
    """
    vocabulary = parse_vocabulary(*vocabulary_bytes(name_or_path))
    missing = [part for part in needs if not vocabulary.words_of(part)]
    if missing:
        raise VocabularyError(
            f"vocabulary {vocabulary.name}: expected at least one {', one '.join(needs)}, as each "
            f"prompt asks for one of each; found no {' and no '.join(missing)}; add to its file"
        )
    return vocabulary


def vocabulary_bytes(name_or_path: str) -> tuple[str, str, bytes]:
    """Name, file and bytes of a shipped vocabulary or of a file, unread."""
    if has_vocabulary_suffix(name_or_path):
        path = Path(name_or_path)
        return path.stem, str(path), _file_bytes(path)
    known = shipped_vocabularies()
    if name_or_path not in known:
        raise VocabularyError(
            f"expected the name of a vocabulary ({', '.join(known)}) or the path of a "
            f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file, found {name_or_path!r}"
        )
    resource = resources.files("datagen") / "vocabularies" / f"{name_or_path}.tsv"
    return name_or_path, f"{name_or_path}.tsv", resource.read_bytes()


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as exc:  # ValueError: a path that no system can have
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise VocabularyError(
            f"{path}: expected a readable vocabulary file, found none ({why}); "
            f"give another path or a shipped name ({', '.join(shipped_vocabularies())})"
        ) from exc


def parse_vocabulary(name: str, where: str, data: bytes) -> Vocabulary:
    """The vocabulary that the bytes of a file hold; errors call the file `where`, whose ending
    (.tsv, .csv, .txt) says how it is read.
    """
    return vocabulary_of(name, (entry.word for entry in read_entries(where, data)))


def vocabulary_of(name: str, words: Iterable[Word]) -> Vocabulary:
    """The vocabulary of these words, each lemma once per part of speech."""
    ordered = tuple(sorted(words, key=lambda word: (word.lemma, word.part_of_speech)))
    return Vocabulary(name, ordered, digest("vocabulary", [_content(word) for word in ordered]))


def _content(word: Word) -> list[Json]:
    """What a digest covers: weight and topic only where given, so plain files keep their digest."""
    given: dict[str, Json] = {}
    if word.weight != 1:
        given["weight"] = word.weight
    if word.topic is not None:
        given["topic"] = word.topic
    content: list[Json] = [word.lemma, str(word.part_of_speech), sorted(set(word.forms))]
    return [*content, given] if given else content
