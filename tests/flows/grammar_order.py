"""The sets of first-grammar in which both sentences have the same words."""

from tests.flows.grammar_words import (
    ADJECTIVES,
    ANIMALS,
    LOOKS,
    NAMES,
    PEOPLE,
    PLACES,
    THINGS,
    Couple,
)


def where_is() -> list[Couple]:
    return [
        (
            (f"Where is the {look} {thing}?", f"Where the {look} {thing} is?"),
            (f"Why are the {many} {adjective}?", f"Why the {many} are {adjective}?"),
        )
        for look, (thing, _), (_, many), adjective in zip(
            LOOKS, THINGS, ANIMALS, ADJECTIVES, strict=True
        )
    ]


def adjective_first() -> list[Couple]:
    return [
        (
            (f"{name} has a {look} {thing}.", f"{name} has {look} a {thing}."),
            (f"The {look} {thing} was in the {place}.", f"The {thing} {look} was in the {place}."),
        )
        for name, look, (thing, _), place in zip(NAMES, LOOKS, THINGS, PLACES, strict=True)
    ]


def verb_before_object() -> list[Couple]:
    acts = "took found saw lost liked wanted made got washed dropped".split()
    couples = []
    for place, (name, (who, _), (thing, _)) in enumerate(zip(NAMES, PEOPLE, THINGS, strict=True)):
        act, next_act = acts[place % len(acts)], acts[(place + 3) % len(acts)]
        first = f"{name} {act} the {thing}.", f"{name} the {thing} {act}."
        second = f"The {who} {next_act} a {thing}.", f"The {who} a {thing} {next_act}."
        couples.append((first, second))
    return couples


def not_after_is() -> list[Couple]:
    return [
        (
            (f"The {one} is not {adjective}.", f"The {one} not is {adjective}."),
            (f"{name} will not see the {one}.", f"{name} not will see the {one}."),
        )
        for (one, _), adjective, name in zip(ANIMALS, ADJECTIVES, NAMES, strict=True)
    ]
