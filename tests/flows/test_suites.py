"""`stillhouse suites`, the suite that comes with Stillhouse, and a night that is measured on it."""

import dataclasses
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from datagen.vocabulary import load_vocabulary
from distill.evaluation.minimal_pairs import PairScore, accuracy, length_only
from flows import frozen_suites
from flows.bench import set_up_bench
from flows.frozen_suites import FrozenSuites, frozen_figures, score_frozen, set_up_frozen
from flows.measured import Stage
from flows.metric_costs import MetricCosts
from flows.night import Tonight, open_night
from flows.pair_scores import score_pair_suite
from flows.progress import track
from flows.recipes import load_recipe
from flows.suites import shipped_suites, suite_for_night
from flows.text_scores import score_text_suite
from tests.flows.command import in_process
from tests.flows.first_grammar import grammar_pairs
from tests.flows.smoke import MAX_WORDS, Night
from warehouse.errors import NightConflictError
from warehouse.identity import digest_bytes
from warehouse.lake import Lake
from warehouse.suites import SuiteRequest, Text, freeze_texts, pairs_digest

SUITE = "first-grammar"
FILE = Path(__file__).parents[2] / "flows" / "suites" / f"{SUITE}.jsonl"
_TALES = ((1, b"Once upon a time there was a dog."), (2, b"The cat and the frog were happy."))
# A frozen name: another digest needs another name.
DIGEST = "f250984e2211c219c3fd994fde6f34a1"


def test_the_suite_that_comes_with_us_is_what_its_templates_give() -> None:
    assert list(map(json.loads, FILE.read_text().splitlines())) == list(grammar_pairs())
    assert pairs_digest(shipped_suites()[SUITE].pairs) == DIGEST


def test_its_words_are_those_of_small_children() -> None:
    forms = {
        form.lower() for word in load_vocabulary("age3", needs=()).words for form in word.forms
    }
    for pair in shipped_suites()[SUITE].pairs:
        words = set(re.findall(r"[a-z]+", pair.sentence_good.lower()))
        assert words <= forms, (pair.sentence_good, words - forms)


def test_it_has_many_phenomena_and_no_shortcut_by_length() -> None:
    by_set: dict[str, list[float]] = defaultdict(list)
    by_phenomenon: dict[str, int] = defaultdict(int)
    for pair in shipped_suites()[SUITE].pairs:
        more = len(pair.sentence_bad) - len(pair.sentence_good)
        by_set[pair.set_name].append(0.5 + 0.5 * (more > 0) - 0.5 * (more < 0))
        by_phenomenon[pair.phenomenon] += 1
    assert len(by_phenomenon) >= 8
    assert min(by_phenomenon.values()) >= 30
    assert {name: sum(values) / len(values) for name, values in by_set.items()} == dict.fromkeys(
        by_set, 0.5
    )


def _suites(*arguments: str | Path, data: Path, code: int = 0) -> str:
    """What the command says on both streams."""
    result = in_process("suites", *(str(a) for a in arguments), "--data", str(data))
    assert result.exit_code == code, result.output
    return result.output


def test_a_suite_is_added_listed_and_shown(tmp_path: Path) -> None:
    data, file = tmp_path / "lake", tmp_path / "order.jsonl"
    pair = {"sentence_good": "The dog ran.", "sentence_bad": "Dog the ran.", "phenomenon": "order"}
    file.write_text(f"{json.dumps(pair)}\n")
    add: list[str | Path] = ["add", "mine", file, "--origin", "by hand", "--licence", "CC0-1.0"]
    assert "1 pair in 1 set\n" in _suites(*add, data=data)
    assert "it was there already, nothing was added" in _suites(*add, data=data)
    listed = [json.loads(line) for line in _suites("list", "--json", data=data).splitlines()]
    assert [row["suite"] for row in listed] == [SUITE, "mine"]
    assert listed[0]["digest"] == DIGEST
    assert (listed[1]["items"], listed[1]["origin"], listed[1]["licence"]) == (
        1,
        "by hand",
        "CC0-1.0",
    )
    shown = _suites("show", "mine", data=data)
    assert "The dog ran." in shown
    assert listed[1]["digest"] in shown
    sets = _suites("show", SUITE, "--json", data=data)
    assert '"set": "agreement_is_are", "pairs": 30, "good": "The dog is happy."' in sets


def test_texts_are_a_suite_too(tmp_path: Path) -> None:
    data, file = tmp_path / "lake", tmp_path / "tales.txt"
    file.write_text("One day.\n<|endoftext|>\nTwo days.\n<|endoftext|>\n")
    add: list[str | Path] = [
        "add",
        "tales",
        file,
        "--kind",
        "text",
        "--origin",
        "by hand",
        "--licence",
        "CC0-1.0",
    ]
    assert "2 texts, 17 bytes" in _suites(*add, data=data)
    assert "Two days." in _suites("show", "tales", data=data)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nope"], "suite 'nope': expected one of first-grammar; freeze another with"),
        (["add", "a b"], "suite 'a b': expected 1 to 63 lower-case letters"),
        (["add", "first-grammar"], "expected another name than first-grammar, which comes with"),
        (["add", "x", "--kind", "sounds"], "--kind sounds: expected one of pairs, text"),
        (["add", "x", "--licence", "?"], "expected an SPDX expression"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    Lake.open(tmp_path / "lake", create=True).close()
    if arguments[0] == "add":
        arguments = [*arguments, str(FILE), "--origin", "here"]
        arguments += [] if "--licence" in arguments else ["--licence", "MIT"]
    told = _suites(*arguments, data=tmp_path / "lake", code=2)
    [line] = told.splitlines()
    assert said in line


def test_a_bad_line_is_one_line_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"sentence_good": "A."}\n')
    add: list[str | Path] = ["add", "x", file, "--origin", "here", "--licence", "MIT"]
    [line] = _suites(*add, data=tmp_path / "lake", code=2).splitlines()
    assert f"{file}, line 1: expected a sentence under 'sentence_bad'" in line
    assert not (tmp_path / "lake").exists()


def test_a_night_keeps_to_the_suites_that_it_began_with(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    settings = [f"teacher.model={tiny_teacher_folder}", f'evaluate.suites=["{SUITE}"]']
    recipe = load_recipe("smoke", settings)
    for _ in range(2):
        with open_night(recipe, "1", tmp_path / "lake", lambda _: None) as tonight:
            assert json.loads(tonight.claim.asked)["suites"] == {SUITE: DIGEST}
            assert [suite.digest for suite in tonight.suites] == [DIGEST]
            digest = tonight.lake.digest()
    with Lake.open(tmp_path / "lake") as lake:
        assert lake.digest() == digest
    without = load_recipe("smoke", settings[:1])
    with (
        pytest.raises(NightConflictError, match="suites"),
        open_night(without, "1", tmp_path / "lake", lambda _: None),
    ):
        pass


def test_a_night_without_its_suite_is_refused_before_it_is_claimed(
    tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    settings = [f"teacher.model={tiny_teacher_folder}", 'evaluate.suites=["blimp"]']
    options = [part for setting in settings for part in ("--set", setting)]
    refused = in_process("run", "smoke", *options, "--data", str(tmp_path / "lake"))
    assert refused.exit_code == 2
    last = refused.stderr.splitlines()[-1]
    assert "evaluate.suites names 'blimp': expected one of first-grammar" in last
    assert "stillhouse suites add NAME PATH" in last
    with Lake.open(tmp_path / "lake") as lake:
        assert not lake.manifest.nights()


@pytest.fixture(scope="module")
def tonight(smoke_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tonight]:
    """The finished smoke night, with a suite that it would have been measured on."""
    data = tmp_path_factory.mktemp("suites") / "lake"
    shutil.copytree(smoke_night.data, data, symlinks=True)
    settings = [f"teacher.model={smoke_night.teacher}", f"verdicts.max_words={MAX_WORDS}"]
    recipe = load_recipe("smoke", [*settings, "evaluate.pairs_per_set=4"])
    plain = load_recipe("smoke", settings)
    with open_night(plain, "1", data, lambda _: None) as opened:
        tales = [Text(digest_bytes(text), n, text.decode(), len(text)) for n, text in _TALES]
        freeze_texts(opened.lake, SuiteRequest("tales", "by hand", "CC0-1.0"), tales)
        suites = (suite_for_night(opened.lake, SUITE), suite_for_night(opened.lake, "tales"))
        yield dataclasses.replace(opened, recipe=recipe, suites=suites)


def test_subjects_are_scored_once_on_frozen_suites(
    tonight: Tonight, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tasks as plain functions: a Prefect server would be all of the time.
    for task in (score_pair_suite, score_text_suite):
        monkeypatch.setattr(frozen_suites, task.fn.__name__, task.fn)
    frozen = set_up_frozen(tonight, set_up_bench(tonight))
    assert [subject.role for subject, _ in frozen.pairs] == ["challenger", "control", "teacher"]
    assert [s.role for s, _ in frozen.texts] == ["challenger", "control", "unigram", "teacher"]
    assert {len(suite.pairs) for _, suite in frozen.pairs} == {4 * 21}
    num_tokens, digest = [], []
    for _ in range(2):
        costs, stage = MetricCosts(), Stage()
        with track("scores", len(frozen), "suites") as bar:
            score_frozen(tonight, frozen, costs, stage, bar)
        costs.commit(tonight)
        num_tokens.append(stage.num_tokens)
        digest.append(tonight.lake.digest())
    assert num_tokens[0] > num_tokens[1] == 0
    assert digest[0] == digest[1]
    spent = tonight.lake.read("metric_costs").to_pylist()
    assert {row["suite"] for row in spent} >= {SUITE, "tales"}
    assert sum(row["num_tokens"] for row in spent if row["suite"] != "held_out") == num_tokens[0]
    _check_figures(tonight, frozen)


def test_the_command_gives_the_figures_that_a_night_stores(
    tonight: Tonight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand on the same suites: first-grammar (which need not be in the lake) and texts."""
    for task in (score_pair_suite, score_text_suite):
        monkeypatch.setattr(frozen_suites, task.fn.__name__, task.fn)
    frozen = set_up_frozen(tonight, set_up_bench(tonight))
    with track("scores", len(frozen), "suites") as bar:
        score_frozen(tonight, frozen, MetricCosts(), Stage(), bar)
    stored = {
        (row["role"], row["suite"], row["metric"]): row for row in frozen_figures(tonight, frozen)
    }
    names = {"challenger/smoke": "challenger", "control/smoke": "control"}
    names[str(tonight.recipe.teacher.model)] = "teacher"
    digest, data = tonight.lake.digest(), str(tonight.lake.root)
    suites = ["--suite", SUITE, "--suite", "tales", "--limit", "4"]
    result = in_process("evaluate", *names, *suites, "--data", data, "--json")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    found = {
        (names[row["model"]], row["on"], row["metric"]): row
        for row in rows
        if row["row"] == "model"
    }
    assert found.keys() == {key for key in stored if key[0] != "unigram"}
    for key, row in found.items():
        assert row["value"] == pytest.approx(stored[key]["value"], abs=1e-6)
        assert row["n"] == stored[key]["n"]
        assert row["model_id"] == stored[key]["subject_id"]
        assert row["digest"] == stored[key]["suite_digest"]
        if row["on"] == SUITE:
            assert (row["low"], row["high"]) == (stored[key]["low"], stored[key]["high"])
    assert {row["on"] for row in rows if row["row"] == "difference"} == {"tales"}
    assert tonight.lake.digest() == digest


def test_a_suite_that_is_not_there_is_one_line(smoke_night: Night) -> None:
    arguments = ["evaluate", "champion/smoke", "--suite", "blimp", "--data", str(smoke_night.data)]
    refused = in_process(*arguments)
    assert refused.exit_code == 2
    *_, line = refused.stderr.splitlines()
    assert "suite 'blimp': expected one of first-grammar; freeze another with" in line


def _check_figures(tonight: Tonight, frozen: FrozenSuites) -> None:
    figures = frozen_figures(tonight, frozen)
    of_pairs = [row for row in figures if row["suite"] == SUITE]
    assert [(row["role"], row["metric"]) for row in of_pairs] == [
        (role, metric)
        for role in ("challenger", "control", "teacher")
        for metric in ("minimal_pairs", "minimal_pairs_length_only")
    ]
    for row in of_pairs:
        assert row["n"] == 84
        assert row["suite_digest"] == frozen.pairs[0][1].digest
        scores = _stored(tonight.lake, row["subject_id"])
        figure = (accuracy if row["metric"] == "minimal_pairs" else length_only)(scores)
        assert (row["value"], row["low"], row["high"]) == (figure.value, figure.low, figure.high)
    of_texts = [row for row in figures if row["metric"] == "bits_per_byte"]
    assert [row["role"] for row in of_texts] == ["challenger", "control", "unigram", "teacher"]
    assert {(row["suite"], row["n"]) for row in of_texts} == {("tales", len(_TALES))}


def _stored(lake: Lake, subject: str) -> list[PairScore]:
    names = list(PairScore.__annotations__)
    rows = lake.query(f"SELECT {', '.join(names)} FROM pair_scores WHERE subject_id = '{subject}'")
    return [PairScore(**row) for row in rows.to_pylist()]
