"""Gates in a recipe: what they may name, what is refused with the recipe, and how they decide."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from distill.promote import decide
from flows.bench import CONFIRMATION, SELECTION
from flows.errors import FlowsError
from flows.gates import FIGURES, judged_gates, suite_of
from flows.night import open_night
from flows.promote_student import _contest
from flows.recipes import identity_of, load_recipe
from flows.text_figures import SAMPLES
from tests.flows.command import in_process
from tests.flows.smoke import MAX_WORDS, Night
from tests.tiny_teacher import make_stories
from warehouse.lake import Lake


def _with(gates: str) -> str:
    return f"promote.gates={gates}"


def test_a_gate_is_read_with_its_usual_suite() -> None:
    recipe = load_recipe(
        "smoke",
        [
            _with(
                '[{metric="ece", at_most=0.1}, {metric="adherence", at_least=0.9, suite="samples"}]'
            )
        ],
    )
    assert [suite_of(gate) for gate in recipe.promote.gates] == [CONFIRMATION, SAMPLES]
    assert suite_of(recipe.promote.gates[0].model_copy(update={"suite": SELECTION})) == SELECTION


def test_gates_are_a_part_of_what_is_asked_only_where_there_are_some() -> None:
    plain = load_recipe("smoke")
    assert "gates" not in identity_of(plain)["promote"]
    gated = load_recipe("smoke", [_with('[{metric="ece", at_most=0.1}]')])
    assert identity_of(gated)["promote"]["gates"][0]["at_most"] == 0.1
    assert identity_of(gated)["promote"] == {
        **identity_of(plain)["promote"],
        "gates": identity_of(gated)["promote"]["gates"],
    }


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ('[{metric="ecee", at_most=1}]', "promote.gates.0.metric = 'ecee': expected a figure that"),
        ('[{metric="ecee", at_most=1}]', "did you mean ece?"),
        ('[{metric="ece", suite="samples", at_most=1}]', "suite = 'samples': expected a suite on"),
        (
            '[{metric="exposure_3", at_most=4}]',
            "promote.gates.0: exposure_3 is measured on the can",
        ),
        ('[{metric="exposure", at_most=4}]', "exposure_10 is that of the canaries that were plan"),
        ('[{metric="ece", suite="tales", at_most=1}]', "expected a suite of evaluate.suites (none"),
        ('[{metric="ece", suite="canaries", at_most=1}]', "a suite on which ece is measured (conf"),
        ('[{metric="adherence", suite="x", at_most=1}]', "adherence is measured (samples)"),
        ('[{metric="ece"}]', "promote.gates.0: gate ece: expected one of at_least and at_most"),
        ('[{metric="ece", at_least=0, at_most=1}]', "found both; a band is two gates"),
        ('[{metric="ece", at_mots=1}]', "unknown key promote.gates.0.at_mots; did you mean at_mo"),
        ('[{metric="ece", at_most="1"}]', 'promote.gates.0.at_most = "1": expected a number from'),
        ('[{metric="ece", at_most=true}]', "promote.gates.0.at_most = true: expected a number fr"),
        ('[{metric="ece", at_most=nan}]', "promote.gates.0.at_most = NaN: expected a number from"),
        ("[{at_most=1}]", "key promote.gates.0.metric is missing: add it"),
        ("[7]", "promote.gates.0 = 7: expected [[promote.gates]] and its keys below it"),
        ("7", "promote.gates = 7: expected [[promote.gates]] and its keys below it"),
    ],
)
def test_a_gate_that_cannot_be_is_refused_with_the_recipe(gates: str, said: str) -> None:
    with pytest.raises(FlowsError) as refusal:
        load_recipe("smoke", [_with(gates)])
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_gate_on_told_stories_needs_some() -> None:
    with pytest.raises(FlowsError, match=r"evaluate\.num_samples is 0; ask for some"):
        load_recipe(
            "smoke", ["evaluate.num_samples=0", _with('[{metric="adherence", at_least=0.5}]')]
        )


def test_a_gate_on_distances_needs_some() -> None:
    with pytest.raises(FlowsError, match=r"evaluate\.num_distance_documents is 0"):
        load_recipe(
            "smoke",
            ["evaluate.num_distance_documents=0", _with('[{metric="forward_kl", at_most=9}]')],
        )


def test_a_gate_may_look_at_texts_of_the_recipe_and_at_canaries() -> None:
    gates = (
        '[{metric="bits_per_byte", suite="tales", at_most=2}, {metric="exposure_10", at_most=4}]'
    )
    settings = ['evaluate.suites=["tales"]', 'night.imports=["mails"]', _with(gates)]
    recipe = load_recipe("smoke", settings)
    assert [suite_of(gate) for gate in recipe.promote.gates] == ["tales", "canaries"]
    rows = [
        {"metric": "bits_per_byte", "suite": "tales", "value": 1.9},
        {"metric": "bits_per_byte", "suite": "confirmation", "value": 2.1},
        {"metric": "exposure_10", "suite": "canaries", "value": 4.5},
    ]
    assert [gate.ok for gate in judged_gates(recipe.promote, rows)] == [True, False]


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (
            'metric="ece", suite="first-grammar"',
            "suite = 'first-grammar': expected a suite of text, on which ece is measured, found",
        ),
        ('metric="exposure_3"', "'exposure_3': expected a number of times .* was planted (0, 10)"),
    ],
)
def test_a_night_whose_suite_or_canaries_do_not_fit_a_gate_is_not_claimed(
    gate: str, said: str, tiny_teacher_folder: Path, tmp_path: Path
) -> None:
    stories, data = tmp_path / "mails.jsonl", ("--data", str(tmp_path / "lake"))
    stories.write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in make_stories(30, seed=4))
    )
    add = ("corpus", "import", str(stories), "--name", "mails", "--licence", "MIT", *data)
    plant = ("canaries", "plant", "--into", "mails", "--name", "planted", "--repeats", "10")
    for command in (add, (*plant, "--each", "1", "--never", "1", *data)):
        assert in_process(*command).exit_code == 0
    recipe = load_recipe(
        "smoke",
        [
            f"teacher.model={tiny_teacher_folder}",
            'evaluate.suites=["first-grammar"]',
            'night.imports=["planted"]',
            _with(f"[{{{gate}, at_most=1}}]"),
        ],
    )
    with (
        pytest.raises(FlowsError, match=re.escape(said).replace(r"\.\*", ".*")),
        open_night(recipe, "1", tmp_path / "lake", print),
    ):
        pass
    with Lake.open(tmp_path / "lake") as lake:
        assert not lake.manifest.nights()


def test_a_gate_on_minimal_pairs_names_a_suite_of_the_recipe() -> None:
    gate = '[{metric="minimal_pairs", suite="first-grammar", at_least=0.5}]'
    with pytest.raises(FlowsError, match=r"suite of evaluate\.suites \(none is named\)"):
        load_recipe("smoke", [_with(gate)])
    assert load_recipe("quickstart", [_with(gate)]).promote.gates[0].suite == "first-grammar"
    with pytest.raises(FlowsError, match="suite is missing"):
        load_recipe("quickstart", [_with('[{metric="minimal_pairs", at_least=0.5}]')])


def test_what_was_not_measured_breaks_its_gate() -> None:
    recipe = load_recipe(
        "smoke",
        [_with('[{metric="ece", at_most=0.1}, {metric="ece", suite="selection", at_most=0.1}]')],
    )
    rows = [{"metric": "ece", "suite": "confirmation", "value": 0.05}]
    first, second = judged_gates(recipe.promote, rows)
    assert (first.ok, second.ok) == (True, False)
    assert str(second) == "ece on selection (not measured, at most 0.1)"


def test_gates_may_name_every_figure_that_a_night_measures_and_no_other(smoke_night: Night) -> None:
    """Whoever adds a figure to a night adds it to FIGURES, with its suites."""
    with Lake.open(smoke_night.data) as lake:
        rows = lake.query(
            "select distinct metric, suite from evaluations where role = 'challenger'"
        ).to_pylist()
    measured = {(row["metric"], row["suite"]) for row in rows}
    named = {(metric, suite) for metric, suites in FIGURES.items() for suite in suites}
    assert measured == {pair for pair in named if pair[1] != SELECTION}


def test_a_nights_gates_look_at_its_own_challengers_figures(
    smoke_night: Night, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(smoke_night.data, tmp_path / "lake", symlinks=True))
    settings = [f"teacher.model={smoke_night.teacher}", f"verdicts.max_words={MAX_WORDS}"]
    gates = '[{metric="bits_per_byte", at_most=1e-3}, {metric="adherence", at_least=0}, '
    gates += '{metric="ece", at_least=1}]'
    gated = load_recipe("smoke", [*settings, _with(gates)])
    with open_night(load_recipe("smoke", settings), "1", data, print) as tonight:
        rows = tonight.lake.query(
            "select value from evaluations where role = 'challenger' and metric = "
            "'bits_per_byte' and suite = 'confirmation'"
        )
        contest = _contest(replace(tonight, recipe=gated))
    found = decide(gated.promote, contest, seed=1, num_resamples=1_000)
    assert (found.promoted, found.reason) == (False, "gate:bits_per_byte")
    value = rows.column("value")[0].as_py()
    assert f"bits_per_byte on confirmation ({value:g}, at most 0.001)" in found.explanation
    assert "2 gates are broken" in found.explanation
    assert "ece on confirmation (" in found.explanation
