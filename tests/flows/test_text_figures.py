"""What a told story's row says of what was copied."""

from typing import Any

from datagen.memorisation import LENGTHS, find_copies
from flows.text_figures import TextGroup, mark_copies
from tests.tiny_teacher import make_stories

STORIES = make_stories(20, seed=6)


def _group(role: str, *texts: str) -> TextGroup:
    training = [[(f"doc-{place}", text) for place, text in enumerate(STORIES)]]
    return TextGroup(role, role, texts, (), tuple(find_copies(texts, training)))


def test_a_row_names_the_run_and_its_document_and_only_students_have_rows() -> None:
    copied = " ".join(STORIES[3].split()[4:16])
    rows: list[dict[str, Any]] = [{"text": f"Zig zag. {copied} Zog."}, {"text": "Hm."}]
    texts = [row["text"] for row in rows]
    mark_copies({"control": rows}, [_group("teacher", STORIES[0]), _group("control", *texts)])
    assert rows[0]["copied_doc_id"] == "doc-3"
    assert rows[0]["num_copied_words"] == len(rows[0]["copied_words"].split()) == 12
    assert rows[0]["copied_words"].split()[:2] == copied.lower().replace(".", "").split()[:2]
    assert 0 < rows[0]["copied_share_8"] < 1
    assert (rows[1]["num_copied_words"], rows[1]["copied_words"]) == (0, "")
    assert [rows[1][f"copied_share_{length}"] for length in LENGTHS] == [None] * len(LENGTHS)
    assert rows[1]["copied_doc_id"] is None
