"""Recipes: the shipped ones, overrides, and what is refused before anything is written."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows.errors import FlowsError
from flows.recipes import Recipe, identity_of, load_recipe, recipe_names
from tests.flows.command import in_process, stillhouse
from warehouse.identity import digest


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Every key below a section, dotted, and its description."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", info.description


def _smoke_text() -> str:
    import flows

    return Path(flows.__file__).with_name("recipes").joinpath("smoke.toml").read_text()


def test_every_shipped_recipe_is_valid_and_named_as_its_file() -> None:
    assert {"quickstart", "smoke"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.description


def test_every_key_says_what_it_does() -> None:
    keys = dict(_fields(Recipe))
    assert len(keys) > 40
    assert [key for key, description in keys.items() if not description] == []


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.alpha=0.5", "train", "alpha", 0.5),
        ("teacher.model=/a/b c", "teacher", "model", "/a/b c"),
        ('teacher.model="quoted"', "teacher", "model", "quoted"),
        ("evaluate.top_k = 7", "evaluate", "top_k", 7),
    ],
)
def test_an_override_sets_one_key(override: str, section: str, key: str, value: object) -> None:
    before, after = load_recipe("smoke"), load_recipe("smoke", [override])
    assert getattr(getattr(after, section), key) == value
    changed = getattr(before, section).model_copy(update={key: value})
    assert after == before.model_copy(update={section: changed})


def test_a_recipe_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(_smoke_text().replace('name = "smoke"', 'name = "mine"'))
    assert load_recipe(str(path)) == load_recipe("smoke").model_copy(update={"name": "mine"})


def test_prose_and_places_are_no_part_of_what_is_asked_for() -> None:
    overrides = [
        "description=other",
        "teacher.model=elsewhere",
        "prompts.vocabulary=age3.tsv",
        "train.checkpoint_every_steps=1",
        "train.context=words",
    ]
    smoke = load_recipe("smoke")
    assert identity_of(load_recipe("smoke", overrides)) == identity_of(smoke)
    for key in (
        "train.context=instruct",
        "train.alpha=0.5",
        "night.num_prompts=41",
        "sampling.seed=2",
        "name=other",
    ):
        assert identity_of(load_recipe("smoke", [key])) != identity_of(smoke)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "expected TOML"),
        ("name = 'x'", "is missing: add it"),
        ("section", "expected TOML"),
        (f"x = {'9' * 5000}", "expected TOML"),
        (f"x = {'[' * 5000}", "expected TOML"),
        (_smoke_text().replace("[train]", "[trian]"), "unknown key trian; did you mean train?"),
        (_smoke_text().partition("[promote]")[0], r"section \[promote\] is missing: add it"),
        (f'"a\\nb" = {"0x" + "f" * 5000}\n' + _smoke_text(), r'unknown key "a\\nb"; known: '),
    ],
)
def test_a_recipe_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(FlowsError, match=said) as refusal:
        load_recipe(str(path))
    assert str(path) in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["smoke", "--set", "train.alhpa=1"], "unknown key train.alhpa; did you mean alpha?"),
        (["smoke", "--set", "trane.alpha=1"], "unknown key trane; did you mean train?"),
        (["smoke", "--set", "train.alpha=2"], "train.alpha = 2: expected a number from 0 to 1"),
        (["smoke", "--set", "train.alpha=nan"], "train.alpha = NaN: expected a number from 0 to 1"),
        (["smoke", "--set", "train.alpha=much"], 'train.alpha = "much": expected a number from'),
        (["smoke", "--set", "train.seed=true"], "train.seed = true: expected a whole number"),
        (["smoke", "--set", 'train.seed="7"'], 'train.seed = "7": expected a whole number at'),
        (["smoke", "--set", "train.seed=2.5"], "train.seed = 2.5: expected a whole number at"),
        (["smoke", "--set", f"train.seed={2**63}"], "below 9,223,372,036,854,775,808"),
        (["smoke", "--set", f"name={'x' * 500}"], " ...: String should match pattern"),
        (["smoke", "--set", "train=3"], "train = 3: expected a section, [train] and its keys"),
        (
            ["smoke", "--set", "evaluate.top_k=0"],
            "evaluate.top_k = 0: expected a whole number from",
        ),
        (["smoke", "--set", "evaluate.temperature=1e-9"], "expected 0, or 0.01 to 10"),
        (
            ["smoke", "--set", "train.warmup_share=0.9"],
            "warmup_share + decay_share must be at most",
        ),
        (
            ["smoke", "--set", "verdicts.min_words=401"],
            "expected at most max_words (400), found 401",
        ),
        (
            ["smoke", "--set", "sampling.soft_limit_tokens=281"],
            "at most sampling.max_new_tokens, 280",
        ),
        (["smoke", "--set", "verdicts.min_words=281"], "at most sampling.max_new_tokens, 280, as"),
        (["smoke", "--set", 'verdicts.lint_kinds=["Typo"]'], "max_lints_per_100_words beside it"),
        (
            [
                "smoke",
                *("--set", "verdicts.lint_kinds=[]"),
                *("--set", "verdicts.max_lints_per_100_words=3"),
            ],
            "lint_kinds: expected a kind of fault where",
        ),
        (["smoke", "--set", "sampling.max_new_tokens=385"], "expected at most 384 for the 512"),
        (["smoke", "--set", "night.num_prompts=9000000"], "shards.shard_size = 12: expected at"),
        (["smoke", "--set", "train.preset=stlm-1g"], "stlm-1m"),
        (
            ["smoke", "--set", "token_space.kind=own"],
            'train.alpha = 0.9: expected 0 with token_space.kind = "own", as the teacher',
        ),
        (
            ["smoke", "--set", "token_space.kind=teacher"],
            "expected none, as it has all of the teacher's ids, found 512: leave it out",
        ),
        (["smoke", "--set", "token_space.kind=bytes"], "'trimmed', 'teacher' or 'own'"),
        (["smoke", "--set", "train.alpha"], "expected section.key=value"),
        (["smoke", "--set", "name.first=x"], "name is a value, not a section"),
        (["nosuch"], "recipe nosuch: expected one of production, quickstart, smoke, or the path"),
        (["no/such.toml"], "recipe no/such.toml: expected a readable UTF-8 file, found: No such"),
        (["smoke", "--only", "generate,distill"], "found distill"),
        (["smoke", "--only", ""], "found nothing"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    refused = in_process("run", *arguments, "--data", str(tmp_path / "lake"))
    assert refused.exit_code == 2
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert line.startswith("stillhouse: ")
    assert said in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["sql", "select 1"], ["tell"], ["lake", "verify"]])
def test_commands_that_need_a_lake_make_none(command: list[str], tmp_path: Path) -> None:
    refused = in_process(*command, "--data", str(tmp_path / "lake"))
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert line.startswith("stillhouse: ")
    assert list(tmp_path.iterdir()) == []


def test_a_night_without_a_teacher_is_refused_in_one_line(
    alone: Mapping[str, str], tmp_path: Path
) -> None:
    refused = stillhouse(["run", "smoke", "--data", str(tmp_path / "lake")], alone)
    assert refused.code == 2
    assert refused.out == ()
    [line] = refused.errors
    assert "teacher.model = name-a-teacher" in line
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_names_every_key_that_changes_stories() -> None:
    """But for checks, which are off where they are left out, and what they count."""
    for section in ("prompts", "sampling", "verdicts", "duplicates", "diversity", "shards"):
        fields = Recipe.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
        named = set(tomllib.loads(_smoke_text())[section])
        assert named <= set(fields)
        for name in set(fields) - named - {"workers", "lint_kinds"}:
            assert fields[name].get_default() in (None, (), "", False), name


IDENTITIES = {
    "quickstart": "d181d45c669dbe2108340e82cea848d5",
    "smoke": "88d70b7ef89adee976b3419e9052ad01",
}


def test_another_token_space_is_another_night_and_the_usual_one_is_not(tmp_path: Path) -> None:
    text = _smoke_text()
    usual = digest(identity_of(load_recipe("smoke", ["token_space.kind=trimmed"])))
    assert usual == IDENTITIES["smoke"]
    own = load_recipe("smoke", ["token_space.kind=own", "train.alpha=0"])
    assert own.token_space.identity() == {"kind": "own", "vocab_size": 512}
    path = tmp_path / "smoke.toml"
    path.write_text(text.replace("vocab_size = 512\n", 'kind = "teacher"\n'))
    assert load_recipe(str(path)).token_space.identity() == {"kind": "teacher"}
    path.write_text(text.replace("vocab_size = 512\n", ""))
    with pytest.raises(FlowsError, match='with kind = "trimmed" expected it, found none: add it'):
        load_recipe(str(path))


@pytest.mark.parametrize(("name", "identity"), IDENTITIES.items())
def test_what_a_shipped_recipe_asks_for_stays_as_it_is(name: str, identity: str) -> None:
    """Another digest means that nights begun before are refused: then say so in CHANGELOG.md."""
    assert digest(identity_of(load_recipe(name))) == identity
