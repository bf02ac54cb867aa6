"""How far tonight's students give away the canaries of the night's imports."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from datagen.canaries import Secret, other_secrets, sentence_of
from flows.bench import Bench, figure_row
from flows.gates import CANARY_SUITE
from flows.night import Tonight
from flows.students import load_checked_student
from flows.train_student import CHALLENGER, CONTROL
from warehouse.identity import digest
from warehouse.schemas import CANARIES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.evaluation.exposure import Exposure
    from distill.tokens import TokenSpace

# Secrets that a canary is ranked among, itself counted: an exposure is at most 12 bits.
NUM_RANKED = 4_096


def exposure_rows(tonight: Tonight, bench: Bench, run_id: str) -> list[dict[str, Any]]:
    """A row for each canary of tonight's imports and each of tonight's students; none where no
    import has canaries.
    """
    imports = [unit.run_id for unit in tonight.units if unit.is_import]
    canaries = tonight.lake.read(CANARIES.name, run_ids=imports).to_pylist()
    if not canaries:
        return []
    trained = set(bench.training_set.documents.doc_ids)
    config = tonight.recipe.evaluate
    rows = []
    for role in (CHALLENGER, CONTROL):
        subject = bench.subject(role)
        assert subject is not None
        model, space = load_checked_student(tonight.lake, subject.subject_id)
        for _, group in groupby(canaries, key=lambda row: row["run_id"]):
            mine = list(group)
            secrets = [tuple(row["secret"]) for row in mine]
            found = rank_secrets(
                model,
                space,
                secrets,
                mine[0]["words"],
                seed=config.seed,
                num_tokens_per_batch=config.num_tokens_per_batch,
            )
            rows += [
                {
                    "student_id": subject.subject_id,
                    "run_id": run_id,
                    "line": tonight.claim.line,
                    "night": tonight.claim.night,
                    "role": role,
                    "canary_id": canary["canary_id"],
                    "num_planted": canary["num_planted"],
                    "num_trained": len(trained.intersection(canary["doc_ids"])),
                    **_figures(exposure),
                }
                for canary, exposure in zip(mine, found, strict=True)
            ]
    return rows


def exposure_figures(
    tonight: Tonight, bench: Bench, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The mean exposure of the canaries that were planted equally often, by student, with a
    bootstrap over canaries.
    """
    from distill.evaluation.metrics import mean

    config = tonight.recipe.evaluate
    suite_digest = digest(sorted({row["canary_id"] for row in rows}))
    figures = []
    for role in (CHALLENGER, CONTROL):
        subject = bench.subject(role)
        assert subject is not None
        for num_planted in sorted({row["num_planted"] for row in rows}):
            bits = [
                row["exposure"]
                for row in rows
                if (row["role"], row["num_planted"]) == (role, num_planted)
            ]
            metric = mean(
                f"exposure_{num_planted}",
                bits,
                seed=config.seed,
                num_resamples=config.num_resamples,
            )
            figures.append(figure_row(subject, CANARY_SUITE, suite_digest, metric))
    return figures


def rank_secrets(
    model: "PreTrainedModel",
    space: "TokenSpace",
    secrets: Sequence[Secret],
    words: Sequence[str],
    *,
    seed: int,
    num_tokens_per_batch: int,
) -> "list[Exposure]":
    """The student's exposure of each secret, among the same NUM_RANKED - 1 others (fewer where the
    words have not so many) that are drawn from these words and are none of the secrets.
    """
    from distill.evaluation.exposure import exposures

    others = other_secrets(words, NUM_RANKED - 1, seed, secrets)
    sentences = [sentence_of(secret) for secret in (*secrets, *others)]
    nats = _nats(model, space, sentences, num_tokens_per_batch)
    return exposures(nats[: len(secrets)], nats[len(secrets) :])


def _nats(
    model: "PreTrainedModel", space: "TokenSpace", sentences: Sequence[str], num_tokens: int
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The nats of each sentence after the start symbol. The words before the secret are the same
    for all, so sentences are in the order of their secrets.
    """
    from distill.evaluation.scoring import ScoreRequest, score_documents
    from distill.prefix import prefix_ids

    requests = [
        ScoreRequest(
            doc_id=str(place),
            start_ids=prefix_ids(space, None),
            symbol_ids=np.array(ids, np.int32),
            num_bytes=len(sentence.encode()),
        )
        for place, (sentence, ids) in enumerate(
            zip(sentences, space.encode_batch(sentences), strict=True)
        )
    ]
    scores = score_documents(
        model, requests, end_ids=[space.end_id], num_tokens_per_batch=num_tokens
    )
    return np.array([score.nats_without_end for score in scores])


def _figures(exposure: "Exposure") -> dict[str, Any]:
    return {
        "nats": exposure.nats,
        "rank": exposure.rank,
        "num_ranked": exposure.num_ranked,
        "exposure": exposure.bits,
    }
