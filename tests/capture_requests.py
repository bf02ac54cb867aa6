"""Stories of the tiny teacher's world as capture is asked for them."""

from pathlib import Path

from transformers import AutoTokenizer

from distill.positions import CaptureRequest
from tests.tiny_teacher import make_stories


def capture_requests(teacher_folder: Path, num_stories: int, seed: int) -> list[CaptureRequest]:
    """Stories after the start symbol, in the teacher's ids."""
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)
    return [
        CaptureRequest(
            doc_id=f"doc {i}",
            story_id=f"story {i}",
            context_ids=[0],
            text_ids=tokenizer(text, add_special_tokens=False).input_ids,
        )
        for i, text in enumerate(make_stories(num_stories, seed))
    ]
