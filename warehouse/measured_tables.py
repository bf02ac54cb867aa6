"""Tables that hold clocks, rates and prices: what work cost, never what it was."""

import pyarrow as pa

from warehouse.columns import ID, RUN, Table, column

RUNS = Table(
    "runs",
    "one execution of one stage",
    1,
    False,
    ("started_at",),
    pa.schema(
        [
            RUN,
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night"),
            column("stage", ID, "generate, capture, train, evaluate, promote"),
            column("flow_run_id", ID, "Prefect's id of the flow run"),
            column("started_at", pa.timestamp("us", tz="UTC"), "start"),
            column("wall_s", pa.float64(), "seconds by the clock"),
            column("cpu_s", pa.float64(), "CPU seconds of the process"),
            column("num_tokens", pa.int64(), "tokens written, captured, trained on or scored"),
            column("numerics", ID, "engine, versions, dtype, device class, threads"),
            column("git_commit", ID, "of the code, or unknown"),
        ]
    ),
)

COSTS = Table(
    "costs",
    "one shard of a night's stories, and what it cost to write",
    1,
    False,
    ("shard",),
    pa.schema(
        [
            RUN,
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night"),
            column("shard", pa.int32(), "shard number in the run"),
            column("num_prompts", pa.int64(), "prompts of the plan that the shard takes"),
            column("engine", ID, "who wrote it, as the shard's stories name it (numerics)"),
            column("num_attempts", pa.int64(), "tries at its prompts"),
            column("num_accepted", pa.int64(), "tries accepted, before later passes"),
            column("num_prompt_tokens", pa.int64(), "tokens that the teacher read, all attempts"),
            column("num_tokens", pa.int64(), "tokens that the teacher wrote, all attempts"),
            column("wall_s", pa.float64(), "seconds by the clock since the row before"),
            column("cpu_s", pa.float64(), "CPU seconds of the process, likewise"),
            column(
                "accelerator_s", pa.float64(), "seconds by the clock that an accelerator was held"
            ),
            column(
                "price",
                pa.float64(),
                "in the recipe's currency; null where the recipe names no price",
                nullable=True,
            ),
            column("currency", ID, "of the price, as the recipe names it", nullable=True),
            column(
                "reached",
                ID,
                "the budget that was used up before this shard, which was not written; null else",
                nullable=True,
            ),
        ]
    ),
)

METRIC_COSTS = Table(
    "metric_costs",
    "what one metric took in one execution of the stage evaluate",
    1,
    False,
    ("metric", "suite", "role"),
    pa.schema(
        [
            RUN,
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night"),
            column("metric", ID, "bits_per_byte (with what the same pass gives), distances, ..."),
            column("suite", ID, "held_out (stories of all nights), or a frozen suite's name"),
            column("role", ID, "challenger, control, ..., or all: of several at once"),
            column("subject_id", ID, "a student, a unigram model or a teacher, or all"),
            column("wall_s", pa.float64(), "seconds by the clock"),
            column("cpu_s", pa.float64(), "CPU seconds of the process"),
            column(
                "num_tokens", pa.int64(), "symbols scored; 0 where an earlier night had done it"
            ),
        ]
    ),
)

TRAIN_COSTS = Table(
    "train_costs",
    "how fast one execution of a student's training was",
    2,
    False,
    ("role",),
    pa.schema(
        [
            RUN,
            column("line", ID, "the recipe's name"),
            column("night", ID, "the night"),
            column("role", ID, "challenger or control"),
            column("student_id", ID, "the student"),
            column("device", ID, "a GPU's name, or cpu"),
            column("precision", ID, "of matrix products: float32 or bf16"),
            column("num_processes", pa.int32(), "processes that shared each step, a device each"),
            column("num_steps", pa.int64(), "optimizer steps of this execution"),
            column("num_tokens", pa.int64(), "target tokens after its first step"),
            column("wall_s", pa.float64(), "seconds by the clock, start and compiling included"),
            column("cpu_s", pa.float64(), "CPU seconds of this process and those it started"),
            column(
                "tokens_per_s",
                pa.float64(),
                "target tokens per second after the first step, which warms up; null for one step",
                nullable=True,
            ),
            column(
                "flops_per_token",
                pa.float64(),
                "operations per target token, 6 N + 12 L H Q T (distill/speed.py)",
            ),
            column(
                "peak_flops",
                pa.float64(),
                "operations per second of all devices at their best; null where nobody knows it",
                nullable=True,
            ),
            column(
                "mfu",
                pa.float64(),
                "flops_per_token * tokens_per_s / peak_flops; null where one of them is",
                nullable=True,
            ),
            column(
                "writing_cpu_s",
                pa.float64(),
                "of cpu_s, what the student's own writing took; null without an on-policy phase. "
                "This and what follows is null before version 2",
                nullable=True,
            ),
            column(
                "scoring_cpu_s",
                pa.float64(),
                "of cpu_s, what the teacher's passes over those texts took; likewise",
                nullable=True,
            ),
        ]
    ),
)
