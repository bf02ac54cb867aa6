"""The controlled vocabulary: the shipped one's content, and what is said of a wrong file."""

from collections import Counter
from pathlib import Path

import pytest

from datagen.errors import VocabularyError
from datagen.vocabulary import (
    PartOfSpeech,
    Vocabulary,
    load_vocabulary,
    parse_vocabulary,
    shipped_vocabularies,
)

AGE3 = load_vocabulary("age3")
HEADER = "lemma\tpart_of_speech\tforms\n"

VERB_FORMS = """
become became become becoming|begin began begun beginning|bite bit bitten biting
blow blew blown blowing|break broke broken breaking|bring brought brought bringing
build built built building|buy bought bought buying|catch caught caught catching
choose chose chosen choosing|come came come coming|cry cried cried crying|cut cut cut cutting
dance danced danced dancing|dig dug dug digging|do did done doing|draw drew drawn drawing
drink drank drunk drinking|drive drove driven driving|drop dropped dropped dropping
eat ate eaten eating|fall fell fallen falling|feed fed fed feeding|feel felt felt feeling
find found found finding|fly flew flown flying|forget forgot forgotten forgetting
get got gotten getting|give gave given giving|go went gone going|grow grew grown growing
have had had having|hear heard heard hearing|hide hid hidden hiding|hold held held holding
hop hopped hopped hopping|hope hoped hoped hoping|hug hugged hugged hugging
hurt hurt hurt hurting|keep kept kept keeping|know knew known knowing|leave left left leaving
let let let letting|lose lost lost losing|make made made making|mean meant meant meaning
meet met met meeting|nod nodded nodded nodding|open opened opened opening
play played played playing|put put put putting|read read read reading
ride rode ridden riding|run ran run running
say said said saying|see saw seen seeing|set set set setting|shake shook shaken shaking
shine shone shone shining|sing sang sung singing|sit sat sat sitting|sleep slept slept sleeping
slide slid slid sliding|spend spent spent spending|spin spun spun spinning
stand stood stood standing|stick stuck stuck sticking
stop stopped stopped stopping|swim swam swum swimming
swing swung swung swinging|take took taken taking
teach taught taught teaching|tell told told telling
think thought thought thinking|throw threw thrown throwing|try tried tried trying
understand understood understood understanding|visit visited visited visiting|wake woke woken waking
wear wore worn wearing|win won won winning|worry worried worried worrying
write wrote written writing
"""
NOUN_FORMS = """
baby babies|branch branches|box boxes|bus buses|butterfly butterflies|child children|dress dresses
fish fishes|foot feet|fox foxes|glass glasses|key keys|leaf leaves|life lives|man men
monkey monkeys|mouse mice|person people|toy toys|tooth teeth|wish wishes|wolf wolves
"""
ADJECTIVE_FORMS = """
bad worse worst|big bigger biggest|busy busier busiest|brave braver bravest|good better best
happy happier happiest|hot hotter hottest|mad madder maddest|nice nicer nicest|red redder reddest
sad sadder saddest|shy shyer shyest|small smaller smallest|tiny tinier tiniest|wet wetter wettest
"""


def _table(text: str, part: PartOfSpeech) -> list[tuple[PartOfSpeech, list[str]]]:
    return [
        (part, entry.split()) for line in text.split("\n") for entry in line.split("|") if entry
    ]


FORMS = [
    *_table(VERB_FORMS, PartOfSpeech.VERB),
    *_table(NOUN_FORMS, PartOfSpeech.NOUN),
    *_table(ADJECTIVE_FORMS, PartOfSpeech.ADJECTIVE),
]


@pytest.mark.parametrize(("part", "forms"), FORMS, ids=lambda value: "-".join(value[:1]))
def test_age3_inflects_as_english_does(part: PartOfSpeech, forms: list[str]) -> None:
    assert set(forms) <= AGE3.forms_of(forms[0], part)


def test_age3_has_no_badly_spelled_form() -> None:
    wrong = "runned goed mouses childs foots eated stoping planing bigest happyer writeing "
    wrong += "dieing cryed tryed visitted openned playied leafs wolfs teached catched sheeps"
    assert AGE3.forms.isdisjoint(wrong.split())


def test_every_verb_of_age3_has_its_third_person_and_ing_form() -> None:
    for lemma in AGE3.lemmas(PartOfSpeech.VERB):
        forms = AGE3.forms_of(lemma, PartOfSpeech.VERB)
        assert any(form.endswith("ing") and form[0] == lemma[0] for form in forms), lemma
        assert any(form.endswith("s") and form != lemma for form in forms), lemma


def test_age3_has_the_size_and_balance_it_promises() -> None:
    counts = Counter(word.part_of_speech for word in AGE3.words)
    assert 660 <= len(AGE3.words) <= 780
    assert counts[PartOfSpeech.NOUN] >= 250
    assert counts[PartOfSpeech.VERB] >= 140
    assert counts[PartOfSpeech.ADJECTIVE] >= 90
    assert set(counts) == set(PartOfSpeech)


def test_age3_holds_the_words_that_stories_are_told_with() -> None:
    telling = (
        "once upon a time there was little girl named lily who lived in and wanted to learn day "
        "she saw her friend said asked felt suddenly began together happily ever after the end"
    )
    assert set(telling.split()) - AGE3.forms == set()


def test_only_clothes_is_always_plural_in_age3() -> None:
    plural = [w.lemma for w in AGE3.words if w.forms == (w.lemma,) and w.lemma.endswith("s")]
    nouns = set(AGE3.lemmas(PartOfSpeech.NOUN))
    assert [lemma for lemma in plural if lemma in nouns] == ["clothes"]


def test_age3_is_shipped_and_unknown_names_list_it() -> None:
    assert "age3" in shipped_vocabularies()
    with pytest.raises(VocabularyError, match=r"age3.*found 'age33'"):
        load_vocabulary("age33")


def test_names_keep_their_capital_and_are_compared_in_lower_case() -> None:
    assert "Tom" in AGE3.lemmas(PartOfSpeech.NAME)
    assert "tom" in AGE3.forms


def test_digest_ignores_comments_order_and_name_but_not_forms() -> None:
    one = _parse("b\tnoun\tb,bs\na\tverb\ta\n")
    other = parse_vocabulary(
        "other", "o.tsv", ("# c\n\n" + HEADER + "a\tverb\ta\nb\tnoun\tbs, b\n").encode()
    )
    changed = _parse("b\tnoun\tb\na\tverb\ta\n")
    assert one.digest == other.digest
    assert one.digest != changed.digest


def test_a_word_may_stand_once_as_verb_and_once_as_noun(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(
        HEADER + "play\tnoun\tplay,plays\nplay\tverb\tplay,played\nred\tadjective\tred\n"
    )
    mine = load_vocabulary(str(path))
    assert mine.name == "mine"
    assert mine.forms == {"play", "plays", "played", "red"}
    assert mine.forms_of("play", PartOfSpeech.VERB) == {"play", "played"}


def test_forms_of_a_word_outside_names_it() -> None:
    with pytest.raises(VocabularyError, match=r"age3: expected one of its verbs, found 'boat'"):
        AGE3.forms_of("boat", PartOfSpeech.VERB)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", r"v\.tsv: expected at least one word below the header, found none"),
        ("run\tverbs\trun\n", r"line 2: expected a part of speech \(verb, noun, .*found 'verbs'"),
        ("run\tverb\tran,runs\n", r"line 2: expected the lemma 'run' among its forms, found 'ran"),
        ("a\tnoun\ta\na\tnoun\ta,as\n", r"line 3: .*found 'a' as noun again \(first in line 2\)"),
        ("run\tverb\n", r"line 2: expected 3 tab-separated columns .*, found 2"),
        ("r2\tverb\tr2\n", r"line 2: expected words of the letters a to z .*found 'r2'"),
        ("run\tverb\trun,,ran\n", r"line 2: expected words of the letters a to z .*found ''"),
    ],
)
def test_a_wrong_line_is_named_with_what_was_expected_and_found(body: str, message: str) -> None:
    with pytest.raises(VocabularyError, match=message):
        _parse(body)


def test_a_missing_header_is_named() -> None:
    with pytest.raises(VocabularyError, match=r"line 1: expected the tab-separated header lemma"):
        parse_vocabulary("v", "v.tsv", b"run\tverb\trun\n")


def test_bytes_that_are_not_utf8_are_named_by_line_and_column() -> None:
    with pytest.raises(VocabularyError, match=r"v\.tsv, line 2: expected UTF-8, found byte 0xe9"):
        parse_vocabulary("v", "v.tsv", HEADER.encode() + b"caf\xe9\tnoun\tcaf\xe9\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VocabularyError, match=r"nothing\.tsv: expected a readable vocabulary"):
        load_vocabulary(str(tmp_path / "nothing.tsv"))


@pytest.mark.parametrize("path", ["a\0b.tsv", f"{'x' * 400}.tsv", "."])
def test_a_path_that_cannot_be_is_no_vocabulary(path: str) -> None:
    with pytest.raises(VocabularyError, match="expected"):
        load_vocabulary(path)


def test_a_vocabulary_without_a_part_that_prompts_ask_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text(HEADER + "cat\tnoun\tcat,cats\n")
    with pytest.raises(VocabularyError, match=r"mine: expected .* found no verb and no adjective"):
        load_vocabulary(str(path))


def _parse(body: str) -> Vocabulary:
    return parse_vocabulary("v", "v.tsv", (HEADER + body).encode())
