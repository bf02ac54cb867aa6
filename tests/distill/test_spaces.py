"""The teacher's whole space and an own one: what they read, and what is refused of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, LlamaConfig

from distill.errors import DistillError
from distill.reading import hard_labels, to_students
from distill.spaces import check_segmentation, own_space, teacher_space
from distill.targets import CaptureFacts, check_space
from distill.tokens import TokenSpace, load, read_tokenizer, save, tokenizer_sha256
from distill.trimming import trim_tokenizer
from tests.distill.test_targets import make_document
from tests.tiny_tokenizers import byte_level_json, sentencepiece_json, stories

OWN = own_space(stories(), vocab_size=400)


@pytest.mark.parametrize("tokenizer_json", [byte_level_json(), sentencepiece_json()])
def test_the_whole_space_has_the_teachers_ids(tokenizer_json: str) -> None:
    full = read_tokenizer(tokenizer_json)
    space = teacher_space(tokenizer_json, start_id=1, end_ids=[2])
    assert space.vocab_size == full.get_vocab_size()
    assert not space.is_own
    for text in stories()[:50]:
        assert space.encode(text) == full.encode(text, add_special_tokens=False).ids
        assert space.decode(space.encode(text)) == text
    assert np.array_equal(space.to_teacher, np.arange(space.vocab_size))


def test_every_end_id_is_the_first_in_the_whole_space_and_no_draw_is_dropped() -> None:
    space = teacher_space(byte_level_json(), start_id=0, end_ids=[1, 300])
    assert space.from_teacher[[1, 300]].tolist() == [1, 1]
    captured = make_document("d", vocab_size=512, num_positions=30)
    captured.input_ids[:] = np.arange(2, 32)
    (read,) = to_students([captured], space, [[0]])
    assert read is not None
    assert read.n_draws.tolist() == [50] * 30
    assert read.input_ids.tolist() == captured.input_ids.tolist()


def test_an_own_space_is_the_same_in_every_process_and_order() -> None:
    code = (
        "import json, sys; from distill.spaces import own_space;"
        "print(own_space(reversed(json.load(sys.stdin)), vocab_size=400).digest)"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(stories()), capture_output=True, text=True
    )
    assert made.stdout.strip() == OWN.digest, made.stderr
    assert own_space(stories()[:100], vocab_size=400).digest != OWN.digest


@given(text=st.text())
@settings(max_examples=200)
def test_an_own_space_reads_any_text(text: str) -> None:
    assert OWN.decode(OWN.encode(text)) == text


@pytest.mark.parametrize("text", ["a </s> b", "<s>", "</s></s>"])
def test_a_symbols_name_is_plain_text_in_an_own_space(text: str) -> None:
    assert OWN.decode(OWN.encode(text)) == text
    assert not {OWN.start_id, OWN.end_id} & set(OWN.encode(text))


def test_an_own_space_spends_its_ids_on_its_texts() -> None:
    whole = " ".join(stories())
    assert OWN.vocab_size == 400
    assert len(OWN.encode(whole)) < 0.5 * len(whole)
    assert own_space(["ab"] * 3, vocab_size=400).vocab_size < 400
    with pytest.raises(DistillError, match="expected room for 258 bytes and symbols, found 257"):
        own_space(stories(), vocab_size=257)


@pytest.mark.parametrize("space", [OWN, teacher_space(byte_level_json(), start_id=0, end_ids=[1])])
def test_a_saved_space_is_read_by_us_and_by_transformers(space: TokenSpace, tmp_path: Path) -> None:
    save(space, tmp_path)
    LlamaConfig(vocab_size=space.vocab_size).save_pretrained(tmp_path)
    again = load(tmp_path)
    assert (again.digest, again.is_own) == (space.digest, space.is_own)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*stories()[:20], "Zebra crossing: 42!", " a  b"):
        assert tokenizer(text).input_ids == [space.start_id, *space.encode(text)]
        assert tokenizer.decode(space.encode(text)) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (space.start_id, space.end_id)


def test_a_document_of_hard_labels_has_no_draws() -> None:
    document = hard_labels("d", OWN, stories()[0], [OWN.start_id])
    assert document.input_ids.tolist() == [*OWN.encode(stories()[0]), OWN.end_id]
    assert document.n_draws.sum() == document.offsets[-1] == len(document.target_ids) == 0


def test_targets_of_a_teacher_are_refused_in_an_own_space() -> None:
    with pytest.raises(DistillError, match=r"own token space.*no ids of a teacher"):
        to_students([make_document("d", vocab_size=512, num_positions=3)], OWN, [[0]])


def facts(tokenizer_json: str, vocab_size: int) -> CaptureFacts:
    return CaptureFacts(50, "teacher", tokenizer_sha256(tokenizer_json), vocab_size, "start")


def test_a_space_of_another_tokenizer_or_size_is_refused_naming_both() -> None:
    trimmed = trim_tokenizer(
        byte_level_json(), vocab_size=300, id_counts={}, forms=(), start_id=0, end_ids=(1,)
    )
    for space in (trimmed, teacher_space(byte_level_json(), start_id=0, end_ids=[1])):
        check_space(space, facts(byte_level_json(), 512))
        mine, other = (tokenizer_sha256(json_()) for json_ in (byte_level_json, sentencepiece_json))
        with pytest.raises(DistillError, match=f"{other} of 512 ids, found one of {mine} of 512"):
            check_space(space, facts(sentencepiece_json(), 512))
        with pytest.raises(DistillError, match=f"{mine} of 49,152 ids, found one of {mine} of 512"):
            check_space(space, facts(byte_level_json(), 49_152))
    with pytest.raises(DistillError, match=r"found one of none \(an own one\) of 0"):
        check_space(OWN, facts(byte_level_json(), 512))


def test_a_text_that_is_read_in_other_pieces_is_named() -> None:
    space = teacher_space(byte_level_json(), start_id=0, end_ids=[1])
    texts, names = list(stories()[:5]), list("abcde")
    ids = [np.array([*space.encode(text), 1], np.int32) for text in texts]
    check_segmentation(space, zip(names, texts, ids, strict=True))
    ids[3][4] = 7
    with pytest.raises(DistillError, match=r"document d: .* from its token 4 on"):
        check_segmentation(space, zip(names, texts, ids, strict=True))
    ids[3] = np.array([*space.encode(texts[3])[:6], 1], np.int32)
    with pytest.raises(DistillError, match=r"document d: .* from its token 6 on"):
        check_segmentation(space, zip(names, texts, ids, strict=True))


def test_what_is_no_whole_space_is_refused() -> None:
    data = json.loads(byte_level_json())
    vocab = data["model"]["vocab"]
    vocab[max(vocab, key=vocab.get)] = 600
    with pytest.raises(DistillError, match=r"ids 0 to 511 .* found gaps up to 600"):
        teacher_space(json.dumps(data), start_id=0, end_ids=[1])
    with pytest.raises(DistillError, match=r"end ids in \[0, 512\), found 0 and \[900\]"):
        teacher_space(byte_level_json(), start_id=0, end_ids=[900])
    data["model"] = {"type": "Unigram"}
    with pytest.raises(DistillError, match="expected a BPE tokenizer"):
        teacher_space(json.dumps(data), start_id=0, end_ids=[1])
