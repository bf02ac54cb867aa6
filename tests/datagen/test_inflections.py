"""Which forms are proposed for a word whose line has none."""

import sys

import pytest

from datagen.errors import VocabularyError
from datagen.vocabulary import Word, load_vocabulary
from datagen.vocabulary_files import read_entries


def _read(name: str, text: str) -> list[Word]:
    return [entry.word for entry in read_entries(name, text.encode())]


@pytest.mark.parametrize(
    ("line", "forms"),
    [
        ("mouse n", "mouse mice"),
        ("write v", "write writes wrote written writing"),
        ("good adj", "good better best"),
        ("dream v", "dream dreams dreamed dreamt dreaming"),
        ("fast adv", "fast faster fastest"),
        ("blorp v", "blorp blorps blorped blorping"),
        ("zib v", "zib zibs zibbed zibbing"),
        ("blorpy n", "blorpy blorpies"),
        ("grish n", "grish grishes"),
        ("snoobly adj", "snoobly"),
        ("Tom name", "Tom"),
    ],
)
def test_missing_forms_are_proposed(line: str, forms: str) -> None:
    assert set(_read("v.txt", line)[0].forms) == set(forms.split())


@pytest.mark.parametrize(
    ("lemma", "num_forms"),
    [
        ("\u03b3\u03ac\u03c4\u03b1", 1),  # no Latin ending behind another alphabet
        ("\u043a\u043e\u0442", 1),
        ("\u05d9\u05dc\u05d3", 1),
        ("ni\u00f1o", 4),
        ("b" * 38, 3),  # with -ing more than 40 letters
    ],
)
def test_no_form_is_proposed_that_a_file_could_not_hold(lemma: str, num_forms: int) -> None:
    (word,) = _read("v.txt", f"{lemma} verb")
    assert len(word.forms) == num_forms
    lines = "\n".join(f"{form} verb" for form in word.forms)
    assert {word.lemma for word in _read("v.txt", lines)} == set(word.forms)


def test_without_lemminflect_files_with_forms_are_read_and_others_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from datagen import inflections

    monkeypatch.setitem(sys.modules, "lemminflect", None)
    inflections._dictionary.cache_clear()
    try:
        assert load_vocabulary("age3").words
        with pytest.raises(VocabularyError, match="expected the package lemminflect"):
            _read("v.txt", "cat noun")
    finally:
        inflections._dictionary.cache_clear()
