"""The controlled vocabulary: the shipped one's content, and what is said of a wrong file."""

from importlib import resources
from pathlib import Path

import pytest

from datagen.errors import VocabularyError
from datagen.vocabulary import (
    ASKED_BY_STORIES,
    DEFAULT_PUNCTUATION,
    PartOfSpeech,
    Vocabulary,
    Word,
    load_vocabulary,
    parse_vocabulary,
    shipped_vocabularies,
)
from warehouse.identity import digest

AGE3, AGE5 = load_vocabulary("age3"), load_vocabulary("age5")
BOTH = pytest.mark.parametrize("vocabulary", [AGE3, AGE5], ids=["age3", "age5"])
HEADER = "lemma\tpart_of_speech\tforms\n"

VERB_FORMS = """
become became become becoming|begin began begun beginning|bite bit bitten biting
blow blew blown blowing|break broke broken breaking|bring brought brought bringing
build built built building|buy bought bought buying|catch caught caught catching
choose chose chosen choosing|come came come coming|cry cried cried crying|cut cut cut cutting
dance danced danced dancing|dig dug dug digging|draw drew drawn drawing
drink drank drunk drinking|drive drove driven driving|drop dropped dropped dropping
eat ate eaten eating|fall fell fallen falling|feed fed fed feeding|feel felt felt feeling
find found found finding|fly flew flown flying|forget forgot forgotten forgetting
get got gotten getting|give gave given giving|go went gone going|grow grew grown growing
hear heard heard hearing|hide hid hidden hiding|hold held held holding
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


@BOTH
@pytest.mark.parametrize(("part", "forms"), FORMS, ids=lambda value: "-".join(value[:1]))
def test_the_shipped_ones_inflect_as_english_does(
    part: PartOfSpeech, forms: list[str], vocabulary: Vocabulary
) -> None:
    assert set(forms) <= vocabulary.forms_of(forms[0], part)


@BOTH
def test_the_shipped_ones_have_no_badly_spelled_form(vocabulary: Vocabulary) -> None:
    wrong = "runned goed mouses childs foots eated stoping planing bigest happyer writeing "
    wrong += "dieing cryed tryed visitted openned playied leafs wolfs teached catched sheeps "
    wrong += "flied payed staid teared tieing waked bended winded trueer blueer freeer rooves "
    wrong += "informations furnitures advices musics breads rices moneys equipments homeworks"
    assert vocabulary.forms.isdisjoint(wrong.split())


@BOTH
def test_every_verb_has_its_third_person_and_ing_form(vocabulary: Vocabulary) -> None:
    for lemma in vocabulary.lemmas(PartOfSpeech.VERB):
        forms = vocabulary.forms_of(lemma, PartOfSpeech.VERB)
        assert any(form.endswith("ing") and form[0] == lemma[0] for form in forms), lemma
        assert any(form.endswith("s") and form != lemma for form in forms), lemma


@pytest.mark.parametrize(
    ("vocabulary", "words", "nouns", "verbs", "adjectives", "names"),
    [(AGE3, (1750, 2000), 750, 350, 250, 60), (AGE5, (3100, 3500), 1400, 640, 400, 120)],
    ids=["age3", "age5"],
)
def test_the_shipped_ones_have_the_size_and_balance_they_promise(
    vocabulary: Vocabulary,
    words: tuple[int, int],
    nouns: int,
    verbs: int,
    adjectives: int,
    names: int,
) -> None:
    assert words[0] <= len(vocabulary.words) <= words[1]
    assert len(vocabulary.words_of(PartOfSpeech.NOUN)) >= nouns
    assert len(vocabulary.words_of(PartOfSpeech.VERB)) >= verbs
    assert len(vocabulary.words_of(PartOfSpeech.ADJECTIVE)) >= adjectives
    assert len(vocabulary.words_of(PartOfSpeech.NAME)) >= names
    assert all(vocabulary.words_of(part) for part in PartOfSpeech)


def test_age5_holds_every_word_of_age3_in_the_same_forms() -> None:
    assert set(AGE3.words) <= set(AGE5.words)
    assert AGE3.punctuation == AGE5.punctuation == DEFAULT_PUNCTUATION


@BOTH
def test_the_shipped_files_stand_by_part_of_speech_then_alphabetically(
    vocabulary: Vocabulary,
) -> None:
    path = resources.files("datagen") / "vocabularies" / f"{vocabulary.name}.tsv"
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    words = [row for row in rows if not row[0].startswith("#")][1:]
    parts = [str(part) for part in PartOfSpeech]
    keys = [(parts.index(row[1]), row[0].lower(), row[0]) for row in words]
    assert keys == sorted(keys)
    assert [row for row in words if row[-1] != row[-1].strip() or not row[-1]] == []


@BOTH
def test_the_shipped_ones_hold_the_words_that_stories_are_told_with(vocabulary: Vocabulary) -> None:
    telling = (
        "once upon a time there was little girl named lily who lived in and wanted to learn day "
        "she saw her friend said asked felt suddenly began together happily ever after the end "
        "then people became things way do does did done doing have has had having dreamt colour "
        "0 7 20 100 1000 3rd zero twenty hundred first tenth oh wow splash"
    )
    assert set(telling.split()) - vocabulary.forms == set()


@BOTH
def test_the_shipped_ones_ask_for_no_word_that_says_nothing(vocabulary: Vocabulary) -> None:
    asked = {word.lemma for part in ASKED_BY_STORIES for word in vocabulary.words_of(part)}
    weak = "be have do thing lot way penis vagina gun kill dead die stupid"
    assert asked.isdisjoint(weak.split())


def test_the_nouns_of_age3_that_are_always_plural_are_few() -> None:
    plural = [w.lemma for w in AGE3.words if w.forms == (w.lemma,) and w.lemma.endswith("s")]
    nouns = set(AGE3.lemmas(PartOfSpeech.NOUN))
    always = "clothes glasses jeans pants scissors shorts sunglasses tights trousers underpants"
    assert {lemma for lemma in plural if lemma in nouns} == {*always.split(), "beads", "woods"}


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


def test_a_digest_covers_weight_and_topic_only_where_they_are_given() -> None:
    plain = _parse("a\tverb\ta\n")
    header = "lemma\tpart_of_speech\tforms\tweight\ttopic\n"
    same = parse_vocabulary("v", "v.tsv", f"{header}a\tverb\ta\t1\t\n".encode())
    heavier = parse_vocabulary("v", "v.tsv", f"{header}a\tverb\ta\t2\t\n".encode())
    topical = parse_vocabulary("v", "v.tsv", f"{header}a\tverb\ta\t\tsport\n".encode())
    assert plain.digest == same.digest
    assert len({plain.digest, heavier.digest, topical.digest}) == 3


def test_a_plain_file_keeps_the_digest_that_it_had_before_weights_and_topics() -> None:
    known = digest("vocabulary", [["a", "verb", ["a"]], ["b", "noun", ["b", "bs"]]])
    assert _parse("b\tnoun\tb,bs\na\tverb\ta\n").digest == known


def test_words_of_a_part_are_sorted_and_punctuation_is_no_form() -> None:
    mine = _parse("b\tnoun\tb\n!\tpunctuation\t!\na\tnoun\ta,as\nzip\tother\tzip\n")
    assert mine.words_of(PartOfSpeech.NOUN) == (
        Word("a", PartOfSpeech.NOUN, ("a", "as")),
        Word("b", PartOfSpeech.NOUN, ("b",)),
    )
    assert mine.punctuation == {"!"}
    assert mine.forms == {"a", "as", "b", "zip"}


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
