"""docs/reference/recipe.md: every key of a recipe, from the pydantic models and the shipped
recipes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from distill.students.presets import PRESETS
from docs.writers.markdown import code, table
from flows.recipe_faults import item_of
from flows.recipes import Recipe, load_recipe, recipe_names

_BEGINNING = """\
# Recipe

A recipe is the whole configuration of a line: a TOML file with the sections below. The shipped ones
are known by name, others by path (`stillhouse run mine.toml`), and single values are set on the
command line: `--set train.alpha=0.5`. Unknown keys, and values outside the bounds, are refused
with the key's name. Where the column *default* says *required*, a recipe must name the key: such a
value changes what is measured, so nobody should get it without knowing.

To begin a line of your own, copy the recipe that is nearest and give it another `name`.

"""
# By the names of the models' validators: a new one without its sentence stops `make docs`.
_RULES = {
    "_numbers_are_written_as_numbers": 'A number is written as one: `alpha = 0.5`, not `"0.5"`.',
    "_stories_fit_the_student": "`sampling.max_new_tokens` is at most three quarters of the "
    "positions of `train.preset`, because beside a story a student reads its context; "
    "`sampling.soft_limit_tokens` is at most `sampling.max_new_tokens`.",
    "_shards_can_be_numbered": "`shards.shard_size` is so large that a night has at most 100,000 "
    "shards.",
    "_steers_inside_a_vocabulary": "`sampling.steer` is 0 where `sampling.constrain` is false.",
    "_prices_are_whole": "A price in `[budget]` needs a `currency`, and `budget.max_price` a "
    "price.",
    "_a_text_can_be_accepted": "`verdicts.min_words` is at most `sampling.max_new_tokens`: a word "
    "takes a token or more.",
    "_kinds_of_faults_are_counted": "`verdicts.lint_kinds` names a kind, and needs "
    "`verdicts.max_lints_per_100_words`.",
    "_some_length_is_accepted": "`verdicts.min_words` is at most `verdicts.max_words`.",
    "_keys_fit_the_kind": "Keys of `[engine]` that belong to another `engine.kind` are refused; "
    "`openai` needs `urls` and `model`, and at most one of `api_key_env` and `api_key_secret`.",
    "_engine_can_do_what_is_asked": 'With `engine.kind = "openai"`, `sampling.constrain` is false '
    "and there is no soft limit "
    "(`sampling.soft_limit_tokens` equals `sampling.max_new_tokens`), and without "
    "`engine.sends_top_k`, `sampling.top_k` is 1,000,000.",
    "_size_fits_the_kind": "`token_space.vocab_size` is there unless `token_space.kind` is "
    "`teacher`.",
    "_own_ids_have_no_draws": "`train.alpha` is 0, and there is no `[train.on_policy]`, with "
    '`token_space.kind = "own"`: the teacher says nothing of ids that it does not know.',
    "_a_tail_is_of_all_ids": '`token_space.kind` is `teacher` with `capture.mode = "top_k"`: how '
    "much of the tail lies on ids that a trimmed student lacks is not stored.",
    "_the_teachers_own_law": "`[capture]` has no temperature, mask, truncation or penalty: what is "
    "stored is the teacher's own law.",
    "_k_fits_the_mode": '`capture.k` is there with `capture.mode = "top_k"` alone.',
    "_gates_name_figures": "A gate names a figure that a night measures of its challenger, on a "
    "suite on which it is measured, and one on `samples` needs `evaluate.num_samples` above 0.",
    "_one_limit": "A gate has one of `at_least` and `at_most`.",
    "_shares_fit": "`train.warmup_share + train.decay_share` is at most 1.",
    "_a_phase_can_be_had": "With `[train.on_policy]`, `train.alpha` is above 0, "
    "`train.num_processes` is 1 and `train.compile` is false.",
}
_RULES_OF_NIGHTS = """\
- All nights of a line share `night.held_out_share`, or a student would be tested on what another
  night trained on; another value needs another `name`.
- A night that was begun goes on only with the same recipe: the first run claims it, and a different
  one is refused with the keys that differ. `description`, `[budget]`, `shards.workers`,
  `train.checkpoint_every_steps` and the text of `teacher.model`, `prompts.vocabulary`
  and `prompts.family` (not their files) may change.

"""
_NO_BOUND = 2**63
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
}

Schema = Mapping[str, Any]


def recipe_page() -> str:
    """The page's text."""
    shipped = sorted(map(load_recipe, recipe_names()), key=lambda recipe: recipe.night.num_prompts)
    about = "".join(f"- **{recipe.name}**: {recipe.description}\n" for recipe in shipped)
    return _BEGINNING + "\n".join([about, *_sections(shipped), _rules() + _presets()])


def _sections(shipped: Sequence[Recipe]) -> Iterator[str]:
    schema = Recipe.model_json_schema()
    keys, sections = {}, {}
    for name, field in schema["properties"].items():
        reference = field.get("$ref") or field.get("allOf", [{}])[0].get("$ref")
        if reference:
            sections[name] = schema["$defs"][reference.rpartition("/")[2]]
        else:
            keys[name] = field
    top = {"properties": keys, "required": schema["required"]}
    yield f"## Above the sections\n\n{_keys(top, {})}"
    for name, section in sections.items():
        values = {recipe.name: recipe.model_dump(mode="json")[name] for recipe in shipped}
        about = " ".join(section.get("description", "").split())
        yield f"## [{name}]\n\n{about}\n\n{_keys(section, values)}"
        yield from _inner(name, section, schema)


def _inner(name: str, section: Schema, schema: Schema) -> Iterator[str]:
    """The keys of sections inside this one: those that a recipe may have several of, and those that
    it may leave out.
    """
    for key, field in section["properties"].items():
        several = field.get("items", {}).get("$ref")
        reference = several or _reference(field)
        if reference:
            item = schema["$defs"][reference.rpartition("/")[2]]
            about = " ".join(item.get("description", "").split())
            title = f"[[{name}.{key}]]" if several else f"[{name}.{key}]"
            yield f"## {title}\n\n{about}\n\n{_keys(item, {})}"


def _reference(field: Schema) -> str | None:
    """Of the section that may stand at a key, where there is one."""
    choices = (choice.get("$ref") for choice in field.get("anyOf", ()))
    return next(filter(None, choices), None)


def _keys(section: Schema, shipped: Mapping[str, Mapping[str, Any]]) -> str:
    head = ["key", "value", "default", *shipped, "meaning"]
    return table(
        head,
        (
            [
                code(name),
                _kind(field),
                "*required*" if name in section.get("required", ()) else _shown(field["default"]),
                *(_shown(values[name]) for values in shipped.values()),
                field.get("description", ""),
            ]
            for name, field in section["properties"].items()
        ),
    )


def _shown(value: object) -> str:
    """The value as a recipe writes it."""
    if value is None:
        return "absent"
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return code(f"{value:_}" if is_whole else json.dumps(value, ensure_ascii=False))


def _kind(field: Schema) -> str:
    """The type and the bounds of a key in words."""
    choices = [choice for choice in field.get("anyOf", [field]) if choice.get("type") != "null"]
    return " or ".join(_kind_of(choice) for choice in choices)


def _kind_of(field: Schema) -> str:
    if "$ref" in field:
        return "a section"
    if "enum" in field:
        return "one of " + ", ".join(map(_shown, field["enum"]))
    words = [_TYPES.get(field.get("type", ""), str(field.get("type", "any")))]
    low, above = field.get("minimum"), field.get("exclusiveMinimum")
    high, below = field.get("maximum"), field.get("exclusiveMaximum")
    words += [f"from {_number(low)}"] if low is not None else []
    words += [f"above {_number(above)}"] if above is not None else []
    words += [f"to {_number(high)}"] if high is not None else []
    words += [f"below {_number(below)}"] if below is not None else []
    words += [f"like {code(field['pattern'])}"] if "pattern" in field else []
    return " ".join(words)


def _number(value: float) -> str:
    return "2^63" if value == _NO_BOUND else f"{value:,}".removesuffix(".0")


def _rules() -> str:
    models: list[type[BaseModel]] = [Recipe]
    for field in Recipe.model_fields.values():
        section: object = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            models.append(section)
            models += filter(None, map(item_of, section.model_fields.values()))
    names = [name for each in models for name in each.__pydantic_decorators__.model_validators]
    told = "".join(f"- {_RULES[name]}\n" for name in names)
    return f"## Rules between keys\n\n{told}{_RULES_OF_NIGHTS}"


def _presets() -> str:
    about = (
        "## Students\n\nWhat `train.preset` may be. The embedding, tied to the output layer, grows "
        "with `token_space.vocab_size`; the name says the parameters at the size in the last "
        "column.\n\n"
    )
    rows = (
        [
            code(preset.name),
            f"{preset.num_parameters(preset.reference_vocab_size):,}",
            str(preset.num_layers),
            str(preset.hidden_size),
            str(preset.num_heads),
            f"{preset.intermediate_size:,}",
            f"{preset.max_position_embeddings:,}",
            f"{preset.reference_vocab_size:,}",
        ]
        for preset in PRESETS.values()
    )
    head = ["preset", "parameters", "layers", "width", "heads", "feed-forward", "positions", "ids"]
    return about + table(head, rows)
