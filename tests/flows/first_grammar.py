"""Writes flows/suites/first-grammar.jsonl: minimal pairs of simple sentences over words of small
children, made from templates.

`python -m tests.flows.first_grammar > flows/suites/first-grammar.jsonl`; a test compares the file
with what this gives, so that the file is what people review and this is how it came to be.

Every set is its own mirror image: where one sentence wants the word `is` and not `are`, another one
wants `are` and not `is`. Whatever the tokens are, taking the shorter sentence is right half of the
time. In the sets on word order both sentences have the same words.
"""

import json
import sys
from collections.abc import Iterator

from tests.flows.grammar_order import adjective_first, not_after_is, verb_before_object, where_is
from tests.flows.grammar_words import (
    ADJECTIVES,
    ANIMALS,
    LOOKS,
    NAMES,
    NUM_COUPLES,
    PEOPLE,
    PLACES,
    THINGS,
    Couple,
    mirrored,
)


def grammar_pairs() -> Iterator[dict[str, str]]:
    """Every pair as a line of the file, set by set."""
    for phenomenon, sets in _PHENOMENA.items():
        for name, couples in sets.items():
            assert len(couples) == NUM_COUPLES, name
            for good, bad in (pair for couple in couples for pair in couple):
                yield {
                    "sentence_good": good,
                    "sentence_bad": bad,
                    "phenomenon": phenomenon,
                    "UID": name,
                }


def _is_are() -> list[Couple]:
    return [
        mirrored(f"The {one} {{}} {adjective}.", f"The {many} {{}} {adjective}.", "is", "are")
        for (one, many), adjective in zip(ANIMALS, ADJECTIVES, strict=True)
    ]


def _verb_s() -> list[Couple]:
    verbs = (
        "run/runs to the park;sing/sings a song;play/plays in the garden;jump/jumps over the rock;"
        "sleep/sleeps in the bed;walk/walks to school;eat/eats an apple;drink/drinks some milk;"
        "look/looks at the moon;swim/swims in the lake;climb/climbs the tree;help/helps a friend;"
        "write/writes a letter;laugh/laughs at the cat;sit/sits on the chair"
    ).split(";")
    couples = []
    for (one, many), verb in zip(PEOPLE, verbs, strict=True):
        forms, _, rest = verb.partition(" ")
        base, with_s = forms.split("/")
        first, second = (f"Every day the {who} {{}} {rest}." for who in (one, many))
        couples.append(mirrored(first, second, with_s, base))
    return couples


def _has_have() -> list[Couple]:
    return [
        mirrored(
            f"The {one} {{}} a {look} {thing}.", f"The {many} {{}} a {look} {thing}.", "has", "have"
        )
        for (one, many), look, (thing, _) in zip(PEOPLE, LOOKS, THINGS, strict=True)
    ]


def _over_a_phrase() -> list[Couple]:
    others = [*THINGS[4:], *THINGS[:4]]
    return [
        mirrored(
            f"The {one} near the {things} {{}} {adjective}.",
            f"The {many} near the {thing} {{}} {adjective}.",
            "is",
            "are",
        )
        for (one, many), (thing, things), adjective in zip(
            ANIMALS, others, reversed(ADJECTIVES), strict=True
        )
    ]


def _there_is() -> list[Couple]:
    return [
        mirrored(
            f"There {{}} one {one} in the {place}.",
            f"There {{}} two {many} in the {place}.",
            "is",
            "are",
        )
        for (one, many), place in zip(ANIMALS, PLACES, strict=True)
    ]


def _this_these() -> list[Couple]:
    return [
        mirrored(
            f"{name} likes {{}} {look} {one}.", f"{name} likes {{}} {look} {many}.", "this", "these"
        )
        for name, look, (one, many) in zip(NAMES, LOOKS, THINGS, strict=True)
    ]


def _one_or_more() -> list[Couple]:
    numbers = "two three four five six".split() * 3
    return [
        mirrored(f"{name} saw one {{}}.", f"{name} saw {number} {{}}.", one, many)
        for name, number, (one, many) in zip(NAMES, numbers, THINGS, strict=True)
    ]


def _a_or_an() -> list[Couple]:
    vowels = (
        "apple egg elephant ant owl orange onion octopus airplane umbrella oven eagle acorn "
        "eraser alligator"
    ).split()
    return [
        mirrored(f"{name} saw {{}} {thing}.", f"{name} saw {{}} {vowel}.", "a", "an")
        for name, (thing, _), vowel in zip(NAMES, THINGS, vowels, strict=True)
    ]


def _much_or_many() -> list[Couple]:
    masses = (
        "milk water juice bread rain snow sand mud soup butter cheese sugar grass money food"
    ).split()
    return [
        mirrored(
            f"{name} did not see {{}} {things}.",
            f"{name} did not see {{}} {mass}.",
            "many",
            "much",
        )
        for name, (_, things), mass in zip(NAMES, THINGS, masses, strict=True)
    ]


_ACTS = (
    "saw {} in the mirror;hurt {} at school;washed {} in the bath;looked at {} in the water;"
    "laughed at {} all day;dried {} with a towel;was proud of {}"
).split(";")


def _himself_herself() -> list[Couple]:
    pairs = (
        "The_boy/The_girl The_king/The_queen Dad/Mom Grandpa/Grandma The_prince/The_princess "
        "The_grandfather/The_grandmother The_man/The_woman The_father/The_mother "
        "The_brother/The_sister His_son/His_daughter Tom/Lily Ben/Mia Sam/Anna Tim/Lucy Jack/Emma"
    ).split()
    couples = []
    for place, pair in enumerate(pairs):
        he, she = pair.replace("_", " ").split("/")
        act = _ACTS[place % len(_ACTS)]
        couples.append(mirrored(f"{he} {act}.", f"{she} {act}.", "himself", "herself"))
    return couples


def _himself_themselves() -> list[Couple]:
    alone = "boy king prince man father brother grandfather dad son grandpa".split()
    many = "boys kings princes men fathers brothers grandfathers dads sons grandpas".split()
    acts = [act for act in _ACTS if not act.startswith("was")]
    couples = []
    for place in range(NUM_COUPLES):
        act = acts[(place + place // len(alone)) % len(acts)]
        one, more = alone[place % len(alone)], many[place % len(alone)]
        first, second = f"The {one} {act}.", f"The {more} {act}."
        couples.append(mirrored(first, second, "himself", "themselves"))
    return couples


_CASES = (("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me"))


def _subject_or_object() -> list[Couple]:
    acts = "saw found helped called followed watched pushed kissed hugged thanked".split()
    couples = []
    for place, name in enumerate(NAMES):
        subject, object_ = _CASES[place % len(_CASES)]
        act = acts[place % len(acts)]
        first, second = f"Then {{}} {act} {name}.", f"Then {name} {act} {{}}."
        couples.append(mirrored(first, second, subject, object_))
    return couples


def _possessive() -> list[Couple]:
    owners = (("she", "her"), ("he", "his"), ("they", "their"), ("we", "our"), ("I", "my"))
    couples = []
    for place, (thing, _) in enumerate(THINGS):
        subject, own = owners[place % len(owners)]
        first, second = f"Now {{}} had the {thing}.", f"Now it was {{}} {thing}."
        couples.append(mirrored(first, second, subject, own))
    return couples


def _after_did() -> list[Couple]:
    verbs = (
        "go/went home;eat/ate the cake;see/saw the moon;find/found the key;run/ran away;"
        "sing/sang a song;come/came back;take/took the ball;give/gave it back;fall/fell down;"
        "make/made a mess;drink/drank the milk;sit/sat down;write/wrote a letter;get/got lost"
    ).split(";")
    couples = []
    for (who, _), verb in zip(PEOPLE, verbs, strict=True):
        forms, _, rest = verb.partition(" ")
        base, past = forms.split("/")
        first, second = f"The {who} did not {{}} {rest}.", f"Yesterday the {who} {{}} {rest}."
        couples.append(mirrored(first, second, base, past))
    return couples


def _after_can() -> list[Couple]:
    verbs = (
        "run/running jump/jumping play/playing sing/singing swim/swimming sleep/sleeping "
        "eat/eating walk/walking fly/flying dance/dancing climb/climbing cry/crying "
        "laugh/laughing dig/digging sit/sitting"
    ).split()
    couples = []
    for (who, _), verb, place in zip(ANIMALS, verbs, PLACES, strict=True):
        base, running = verb.split("/")
        first = f"The {who} can {{}} near the {place}."
        second = f"The {who} is {{}} near the {place}."
        couples.append(mirrored(first, second, base, running))
    return couples


def _than() -> list[Couple]:
    forms = (
        "big/bigger small/smaller tall/taller short/shorter fast/faster slow/slower old/older "
        "young/younger happy/happier loud/louder strong/stronger funny/funnier nice/nicer "
        "clean/cleaner soft/softer"
    ).split()
    others = [*ANIMALS[6:], *ANIMALS[:6]]
    couples = []
    for (who, _), (other, _), form in zip(ANIMALS, others, forms, strict=True):
        plain, more = form.split("/")
        first = f"The {who} is {{}} than the {other}."
        second = f"The {who} is as {{}} as the {other}."
        couples.append(mirrored(first, second, more, plain))
    return couples


def _do_or_does() -> list[Couple]:
    likes = "milk cake snow rain apples fish music water bread balls soup cheese sand hats eggs"
    return [
        mirrored(f"{{}} the {one} like {thing}?", f"{{}} the {many} like {thing}?", "Does", "Do")
        for (one, many), thing in zip(ANIMALS, likes.split(), strict=True)
    ]


_PHENOMENA = {
    "subject_verb_agreement": {
        "agreement_is_are": _is_are(),
        "agreement_verb_s": _verb_s(),
        "agreement_has_have": _has_have(),
        "agreement_over_a_phrase": _over_a_phrase(),
        "agreement_there_is": _there_is(),
    },
    "determiner_noun_agreement": {
        "this_or_these": _this_these(),
        "one_or_more": _one_or_more(),
    },
    "article_form": {"a_or_an": _a_or_an()},
    "quantifiers": {"much_or_many": _much_or_many()},
    "reflexives": {
        "himself_or_herself": _himself_herself(),
        "himself_or_themselves": _himself_themselves(),
    },
    "pronoun_case": {
        "subject_or_object": _subject_or_object(),
        "subject_or_possessive": _possessive(),
    },
    "verb_form": {"after_did": _after_did(), "after_can": _after_can()},
    "comparison": {"more_than": _than()},
    "questions": {"do_or_does": _do_or_does(), "where_is": where_is()},
    "word_order": {
        "adjective_first": adjective_first(),
        "verb_before_object": verb_before_object(),
        "not_after_is": not_after_is(),
    },
}

if __name__ == "__main__":
    for row in grammar_pairs():
        sys.stdout.write(f"{json.dumps(row, ensure_ascii=False)}\n")
