"""Tonight: what one night of a line claimed, and everything that its stages derive their ids from.

A night claims once: its block of the plan, the lake that it may read, the champion that it meets,
its numerics class. Every later run of the same night reads that claim, so it does the same work,
and none of it twice.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen import generate, prompts
from datagen.families import load_family
from datagen.plan import Plan
from datagen.quality import check_grammar_is_there
from datagen.vocabulary import Vocabulary, load_vocabulary
from distill.students.presets import preset_named
from flows.constraints import check_constrained
from flows.errors import FlowsError
from flows.gates import check_gates_in_lake
from flows.holding import hold_line
from flows.numerics import numerics_class
from flows.recipes import Recipe, identity_of
from flows.suites import suite_for_night
from flows.teachers import Say, Teacher, check_teacher, find_teacher, load_model
from warehouse.exchange import import_run
from warehouse.identity import canonical_json, digest
from warehouse.lake import Lake
from warehouse.ledger import Night
from warehouse.nights import NightRequest
from warehouse.schemas import COSTS, VERDICTS
from warehouse.suites import Suite

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What the stories of a night follow from; the other sections of a recipe come after them.
_STORY_SECTIONS = ("prompts", "sampling", "verdicts", "shards", "teacher", "engine")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
DUPLICATES_VERSION = 2
# Raise when other documents of an import are used.
IMPORT_CHOICE_VERSION = 1
_PASS_SECTIONS = ("duplicates", "diversity")
# The fact of a pass that names the limits of [diversity] which the night's stories break.
BREAKS = "breaks"


@dataclass(frozen=True, slots=True)
class Unit:
    """The stories of one night: the run that wrote them, and the pass that looked for texts in
    them that stand earlier in the line. Or an import: its run, and the choice of what fits.
    """

    run_id: str
    pass_id: str
    is_import: bool = False


@dataclass(frozen=True, slots=True)
class Tonight:
    """A claimed night with its open lake, its teacher's description and its plan.

    `units`: the recipe's imports, then the line's earlier nights whose stories were all in the lake
    when this night began, oldest first, and last its own. `suites`: those that the recipe names.
    """

    recipe: Recipe
    lake: Lake
    claim: Night
    teacher: Teacher
    plan: Plan
    units: tuple[Unit, ...]
    suites: tuple[Suite, ...] = ()

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that the plan draws from."""
        return self.plan.vocabulary

    @property
    def indices(self) -> range:
        """The night's block of the plan."""
        return range(self.claim.first_index, self.claim.first_index + self.claim.num_indices)

    @property
    def unit(self) -> Unit:
        """The night's own stories."""
        return self.units[-1]

    def teacher_model(self) -> "PreTrainedModel":
        """The teacher's model, loaded once per process."""
        recipe = self.recipe
        return load_model(self.teacher, recipe.teacher, can_write=recipe.engine.decodes_here)

    @property
    def label(self) -> str:
        """How messages name the night."""
        return f"{self.claim.line}, night {self.claim.night}"

    def snapshot_of(self, unit: Unit) -> int | None:
        """The lake to read a unit from: as it was when the night began, but for its own stories."""
        return None if unit == self.unit else self.claim.parent_snapshot


@contextmanager
def open_night(recipe: Recipe, night: str, data: Path, say: Say) -> Iterator[Tonight]:
    """The night, claimed now or as it was claimed before, with its line held until the block ends;
    the lake is made if there is none.

    Raises FlowsError for a bad label, a missing or broken teacher or a recipe that does not fit the
    line's earlier nights, DatagenError for a bad vocabulary or family, NightConflictError if the
    night was claimed for another recipe, teacher, vocabulary, family or numerics class.
    """
    if not _LABEL.fullmatch(night):
        raise FlowsError(
            f"night {night!r}: expected 1 to 63 letters, digits, '.', '_' or '-', as 2 or "
            "2026-11-21"
        )
    teacher = find_teacher(recipe.teacher.model, say)
    family = load_family(recipe.prompts.family)
    vocabulary = load_vocabulary(recipe.prompts.vocabulary, needs=family.parts_of_speech)
    plan = Plan(vocabulary, family, recipe.prompts.seed)
    check_constrained(recipe.sampling, plan, teacher)
    asked = _asked(recipe, teacher, plan)
    data = data.absolute()
    request = NightRequest(
        line=recipe.name,
        night=night,
        num_indices=recipe.night.num_prompts,
        numerics=numerics_class(recipe.teacher, recipe.engine),
        asked=canonical_json(asked).decode(),
    )
    with (
        hold_line(data, recipe.name, night, say),
        Lake.open(data, create=True) as lake,
    ):
        _check_line(lake, request, asked)
        imports = {name: import_run(lake, name) for name in sorted(recipe.night.imports)}
        suites = tuple(suite_for_night(lake, name) for name in sorted(set(recipe.evaluate.suites)))
        check_gates_in_lake(recipe.promote, lake, suites, list(imports.values()))
        digests = {suite.name: suite.digest for suite in suites}
        brought = {name: runs for name, runs in (("imports", imports), ("suites", digests)) if runs}
        if brought:
            request = replace(request, asked=canonical_json({**asked, **brought}).decode())
        request = replace(request, num_unwritten=_num_unwritten(lake, recipe.name))
        if all(known.night != night for known in lake.manifest.nights(recipe.name)):
            # A night that could not be run would keep its label.
            check_teacher(teacher, can_write=recipe.engine.decodes_here)
        claim = lake.manifest.claim_night(request)
        brought_in = [_import_unit(run_id, recipe, teacher) for run_id in imports.values()]
        units = (*brought_in, *units_until(lake, claim))
        yield Tonight(recipe, lake, claim, teacher, plan, units, suites)


def shard_key(run_id: str, shard: int) -> str:
    """The key that the manifest knows a shard by."""
    return f"{run_id}/{shard:05d}"


def units_until(lake: Lake, claim: Night) -> tuple[Unit, ...]:
    """The units that a claimed night may use, oldest first, its own last."""
    for night, units in units_by_night(lake, claim.line):
        if night.ordinal == claim.ordinal:
            return units
    raise AssertionError(f"the claim of {claim.line}, night {claim.night} is not in its lake")


def units_by_night(lake: Lake, line: str) -> Iterator[tuple[Night, tuple[Unit, ...]]]:
    """Every claimed night of the line in the order of the claims, with the units that it may use,
    its own last.

    Each night of the line looked at the units that were finished when it began, so the passes are
    found by walking the claims in their order. Stories that break a limit of their recipe are used
    by no other night.
    """
    ledger = lake.manifest.ledger()
    units: list[tuple[Unit, int]] = []
    for night in sorted(lake.manifest.nights(line), key=lambda other: other.ordinal):
        before = [unit for unit, since in units if since <= night.parent_snapshot]
        own = _unit(night, before)
        key = (VERDICTS.name, shard_key(own.pass_id, 0))
        if key in ledger.shards and not json.loads(ledger.shards[key].facts).get(BREAKS):
            units.append((own, ledger.since[key]))
        yield night, (*before, own)


def _unit(night: Night, before: Sequence[Unit]) -> Unit:
    """A night's unit, from its claim alone: so its stories are found under whatever versions and
    recipe wrote them.
    """
    asked = json.loads(night.asked)
    if "duplicates" not in asked["versions"]:
        return _first_unit(night, asked, before)
    run_id = digest(
        "generate",
        asked["versions"]["generate"],
        asked["versions"]["prompt"],
        asked["teacher_digest"],
        asked["vocabulary_digest"],
        *([asked["family_digest"]] if "family_digest" in asked else []),
        *([asked["versions"]["grammar"]] if "grammar" in asked["versions"] else []),
        {name: asked["recipe"][name] for name in _STORY_SECTIONS if name in asked["recipe"]},
        night.numerics,
        [night.first_index, night.first_index + night.num_indices],
    )
    limits = [asked["recipe"][name] for name in _PASS_SECTIONS if name in asked["recipe"]]
    pass_version = asked["versions"]["duplicates"]
    others = [unit.run_id if pass_version == 1 else unit.pass_id for unit in before]
    return Unit(run_id, digest("duplicates", pass_version, others, run_id, *limits))


def _first_unit(night: Night, asked: dict[str, Any], before: Sequence[Unit]) -> Unit:
    """The same for a claim of the first versions, whose ids followed from less."""
    run_id = digest(
        "generate",
        asked["versions"],
        asked["teacher_digest"],
        asked["vocabulary_digest"],
        {name: asked["recipe"][name] for name in _STORY_SECTIONS if name in asked["recipe"]},
        [night.first_index, night.first_index + night.num_indices],
    )
    return Unit(run_id, digest("duplicates", 1, [*(unit.run_id for unit in before), run_id]))


def _import_unit(run_id: str, recipe: Recipe, teacher: Teacher) -> Unit:
    """An import as this recipe's students read it: what fits them, in tokens of their teacher, is a
    part of its identity.
    """
    positions = preset_named(recipe.train.preset).max_position_embeddings
    limits = (recipe.most_story_tokens, positions, teacher.digest)
    chosen = digest("fitting", IMPORT_CHOICE_VERSION, run_id, *limits)
    return Unit(run_id, chosen, is_import=True)


def _asked(recipe: Recipe, teacher: Teacher, plan: Plan) -> dict[str, Any]:
    return {
        "recipe": identity_of(recipe),
        "teacher_digest": teacher.digest,
        "allows_instructions": teacher.allows_instructions,
        "vocabulary_digest": plan.vocabulary.digest,
        "family_digest": plan.family.digest,
        "versions": {
            "generate": generate.STAGE_VERSION,
            "prompt": prompts.PROMPT_VERSION,
            "duplicates": DUPLICATES_VERSION,
            **_grammar(recipe),
        },
    }


def _grammar(recipe: Recipe) -> dict[str, str]:
    """The grammar checker, if stories are judged by it: another version finds other faults."""
    if recipe.verdicts.max_lints_per_100_words is None:
        return {}
    check_grammar_is_there()
    return {"grammar": version("harper-py")}


def _num_unwritten(lake: Lake, line: str) -> int:
    """Plan indices at the end of the line's last claim that a budget left unwritten."""
    nights = lake.manifest.nights(line)
    if not nights:
        return 0
    last = _unit(max(nights, key=lambda night: night.ordinal), []).run_id
    rows = lake.read(COSTS.name, run_ids=[last], columns=["shard", "num_prompts", "reached"])
    shards = sorted(rows.to_pylist(), key=lambda row: row["shard"], reverse=True)
    return sum(row["num_prompts"] for row in takewhile(lambda row: row["reached"], shards))


def _check_line(lake: Lake, request: NightRequest, asked: dict[str, Any]) -> None:
    """A line's nights share their split, or a champion would be tested on what it was trained on,
    and the way in which their teachers are asked.
    """
    for night in lake.manifest.nights(request.line):
        before = json.loads(night.asked)
        for name, found, expected in (
            (
                "night.held_out_share",
                *(a["recipe"]["night"]["held_out_share"] for a in (asked, before)),
            ),
            (
                "teacher's chat template",
                asked["allows_instructions"],
                # The first versions' claims do not say.
                before.get("allows_instructions", asked["allows_instructions"]),
            ),
        ):
            if found != expected and night.night != request.night:
                raise FlowsError(
                    f"line {request.line}: expected {name} {expected}, as on night {night.night}, "
                    f"found {found}; give the recipe another name to begin a new line"
                )
