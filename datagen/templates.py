"""Prompt templates: a small part of Jinja2 that can only choose and join what it is given.

A family's templates may come from anyone, so what they may hold is a list: text, slot names, `if`,
comparisons, tables of texts, and the filters below. No attribute, call, assignment, loop, include
or arithmetic stands on it, so a template ends, and says no more than its length and its slots let
it. It is rendered in Jinja's sandbox all the same, and slot values are data: they are never read
as a template.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.errors import FamilyError

MAX_SOURCE_CHARS = 8_000
MAX_OUTPUT_CHARS = 8_000

_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Dict,
    nodes.Pair,
    nodes.List,
    nodes.Tuple,
)
_SOUNDS_LIKE_CONSONANT = ("one", "use", "usu", "uni", "eu")
_SOUNDS_LIKE_VOWEL = ("hour", "honest", "heir", "honor", "honour", "unim", "unin")
_MUST = "expected text, slots, if, comparisons, tables of texts and the filters"


class SlotWord(str):
    """A word slot's lemma as templates see it, with the number of its forms."""

    __slots__ = ("num_forms",)
    num_forms: int

    def __new__(cls, lemma: str, num_forms: int) -> "SlotWord":
        """The lemma; num_forms: how many forms the vocabulary lists of it."""
        word = super().__new__(cls, lemma)
        word.num_forms = num_forms
        return word


Values = Mapping[str, str | tuple[str, ...]]


def article(word: str) -> str:
    """'a' or 'an', as the sound of the next word asks."""
    word = word.lower()
    if word.startswith(_SOUNDS_LIKE_VOWEL):
        return "an"
    return (
        "an" if word[:1] in tuple("aeiou") and not word.startswith(_SOUNDS_LIKE_CONSONANT) else "a"
    )


def check(source: str, names: Sequence[str], where: str) -> None:
    """Pass if the template holds what a template may and no name but these; FamilyError says what
    else was found, and on which of its lines.
    """
    if len(source) > MAX_SOURCE_CHARS:
        raise FamilyError(
            f"{where}: expected at most {MAX_SOURCE_CHARS:,} characters, found {len(source):,}; "
            "shorten the template"
        )
    try:
        tree = _environment().parse(source)
        _check_node(tree, frozenset(names), where)
        _compiled(source)
    except jinja2.TemplateSyntaxError as exc:
        said = " ".join((exc.message or "").split())
        raise FamilyError(
            f"{where}, line {exc.lineno}: expected a Jinja2 template, found: {said}; "
            f"the filters are {', '.join(sorted(_FILTERS))}"
        ) from exc
    except FamilyError:
        raise
    except (RecursionError, SyntaxError, MemoryError, ValueError) as exc:
        raise FamilyError(
            f"{where}: expected a template of a few levels and short numbers, found "
            f"{type(exc).__name__}; simplify it"
        ) from exc


def render(source: str, values: Values, where: str) -> str:
    """What a checked template says of the values, without the white space around it.

    FamilyError if it stumbles over a value (a table without it), or says more than
    MAX_OUTPUT_CHARS.
    """
    said: list[str] = []
    size = 0
    try:
        for part in _compiled(source).generate(values):
            said.append(part)
            size += len(part)
            if size > MAX_OUTPUT_CHARS:
                raise FamilyError(
                    f"{where}: expected at most {MAX_OUTPUT_CHARS:,} characters of prompt, found "
                    "more; shorten the template or its values"
                )
    except (jinja2.TemplateError, TypeError, KeyError, AttributeError) as exc:
        shown = ", ".join(f"{name}={value!r:.60}" for name, value in values.items() if value)
        raise FamilyError(
            f"{where}: expected a prompt for {shown}; found: {' '.join(str(exc).split())}; "
            "mend the template"
        ) from exc
    return "".join(said).strip()


def _check_node(node: nodes.Node, names: frozenset[str], where: str) -> None:
    _check_kind(node, where)
    if isinstance(node, nodes.Name) and node.name not in names:
        raise _refused(node, where, f"one of its slots ({', '.join(sorted(names))})", node.name)
    if isinstance(node, nodes.Dict | nodes.List | nodes.Tuple):
        _check_constant(node, where)
    for child in node.iter_child_nodes():
        _check_node(child, names, where)


def _check_kind(node: nodes.Node, where: str) -> None:
    if type(node) not in _ALLOWED:
        allowed = f"{_MUST} {', '.join(sorted(_FILTERS))}"
        found = f"{type(node).__name__.lower()} {getattr(node, 'attr', '')}".strip()
        raise FamilyError(f"{where}, line {node.lineno}: {allowed}; found {found!r}; take it out")


def _check_constant(node: nodes.Expr, where: str) -> None:
    try:
        node.as_const()
    except nodes.Impossible as exc:
        raise _refused(node, where, "a table or list of constants", "a slot in it") from exc


def _refused(node: nodes.Node, where: str, expected: str, found: str) -> FamilyError:
    return FamilyError(
        f"{where}, line {node.lineno}: expected {expected}, found {found!r:.80}; mend the template"
    )


def _listed(values: Sequence[str], last: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'."""
    items = _items(values)
    return f" {last} ".join(part for part in (", ".join(items[:-1]), *items[-1:]) if part)


def _joined(values: Sequence[str], between: str = ", ") -> str:
    items = _items(values)
    if len(between) * len(items) > MAX_OUTPUT_CHARS:
        raise TypeError(f"more than {MAX_OUTPUT_CHARS:,} characters between the joined")
    return between.join(items)


def _items(values: Sequence[str]) -> Sequence[str]:
    """Not a text: joining its letters again and again would grow without bound."""
    if isinstance(values, str):
        raise TypeError(f"a list is listed or joined, not the text {values!r:.60}")
    return values


def _named(values: str | Sequence[str], table: Mapping[str, str]) -> str | tuple[str, ...]:
    """What a table of value: wording says of a value, or of each of a list."""
    if isinstance(values, str):
        return table[values]
    return tuple(table[value] for value in values)


def _num_forms(word: str) -> int:
    if not isinstance(word, SlotWord):
        raise TypeError(f"num_forms is of a word slot, not of {word!r:.60}")
    return word.num_forms


_FILTERS = {
    "article": article,
    "capitalize": lambda text: str(text)[:1].upper() + str(text)[1:],
    "ends_with": lambda text, ending: str(text).endswith(str(ending)),
    "join": _joined,
    "length": len,
    "listed": _listed,
    "lower": lambda text: str(text).lower(),
    "named": _named,
    "num_forms": _num_forms,
    "upper": lambda text: str(text).upper(),
}


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        loader=None,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.clear()
    environment.tests.clear()
    environment.filters.clear()
    environment.filters.update(_FILTERS)
    return environment


@lru_cache(maxsize=64)
def _compiled(source: str) -> jinja2.Template:
    return _environment().from_string(source)
