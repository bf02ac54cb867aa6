"""The words that the pairs of first-grammar are made of, and how a set mirrors itself."""

NUM_COUPLES = 15
SentencePair = tuple[str, str]
Couple = tuple[SentencePair, SentencePair]

ANIMALS = tuple(
    pair.split("/")
    for pair in (
        "dog/dogs cat/cats bear/bears bird/birds frog/frogs duck/ducks pig/pigs cow/cows "
        "horse/horses fox/foxes mouse/mice bunny/bunnies lion/lions puppy/puppies monkey/monkeys"
    ).split()
)
PEOPLE = tuple(
    pair.split("/")
    for pair in (
        "boy/boys girl/girls child/children king/kings queen/queens doctor/doctors "
        "teacher/teachers farmer/farmers friend/friends baby/babies woman/women man/men "
        "sister/sisters brother/brothers nurse/nurses"
    ).split()
)
THINGS = tuple(
    pair.split("/")
    for pair in (
        "ball/balls box/boxes cup/cups cake/cakes book/books hat/hats toy/toys car/cars "
        "boat/boats kite/kites flower/flowers leaf/leaves shoe/shoes spoon/spoons rock/rocks"
    ).split()
)
ADJECTIVES = (
    "happy sad big small hungry sleepy clean dirty wet cold nice good funny tired quiet"
).split()
LOOKS = "red blue green big little new shiny yellow white black soft round pretty clean wet".split()
PLACES = (
    "garden house park kitchen forest box bed tree car water room boat school bag field"
).split()
NAMES = "Tom Lily Ben Mia Sam Anna Tim Lucy Max Sara Jack Emma Leo Molly Finn".split()


def mirrored(first: str, second: str, one: str, other: str) -> Couple:
    """The sentence `first` wants the word `one` in its gap, `second` wants `other`."""
    return (
        (first.format(one), first.format(other)),
        (second.format(other), second.format(one)),
    )
