"""One rank of a training that torchrun started: prints the digest of its weights and its losses.

Usage: torchrun --nproc-per-node 2 tests/distill/rank_script.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch

from distill.errors import DistillError
from distill.ranks import joined_by_torchrun
from distill.train import train
from tests.student_documents import make_documents, tiny_student, train_config

LENGTHS = [5, 17, 9, 30, 12, 3, 21, 14, 26]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined_by_torchrun("cpu") as world:
        config = train_config(num_processes=world.size)
        documents = make_documents(LENGTHS)
        result = train(config, tiny_student(), documents, folder, seed=3, alpha=0.5)
    losses = [record.loss for record in result.steps]
    said = {"rank": world.rank, "weights": result.weights_digest, "losses": losses}
    (folder.parent / f"rank-{world.rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except DistillError as exc:
        sys.exit(str(exc))
