"""Trimmed tokenizers segment as the teacher's do, read any text, and are what their folder says."""

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, LlamaConfig

from distill.errors import DistillError
from distill.tokens import TokenSpace, load, read_tokenizer, save, token_bytes, word_start_mask
from distill.trimming import trim_tokenizer
from tests.tiny_teacher import END, START
from tests.tiny_tokenizers import byte_level_json, sentencepiece_json, stories

STORIES_260K = Path(__file__).parents[3] / "shared/data/stories260k/tokenizer.json"


def teacher_json(kind: str) -> str:
    if kind == "byte-level":
        return byte_level_json()
    if kind == "SentencePiece":
        return sentencepiece_json()
    if not STORIES_260K.exists():
        pytest.skip(f"needs the llama2.c teacher's tokenizer at {STORIES_260K}")
    return STORIES_260K.read_text(encoding="utf-8")


def trim(
    tokenizer_json: str, vocab_size: int, counts: dict[int, int], **more: object
) -> TokenSpace:
    arguments = {"forms": (), "start_id": 0, "end_ids": (1,)} | more
    return trim_tokenizer(tokenizer_json, vocab_size=vocab_size, id_counts=counts, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["byte-level", "SentencePiece", "llama2.c"])
def test_a_text_whose_ids_are_all_kept_is_segmented_as_by_the_teacher(kind: str) -> None:
    full_json = teacher_json(kind)
    full = read_tokenizer(full_json)
    texts = [part for story in stories()[:60] for part in re.split(r"(?<=[.!?]) ", story)]
    texts += [word for story in stories()[:20] for word in story.split()]
    wanted = [full.encode(text, add_special_tokens=False).ids for text in texts]
    used = Counter(id_ for ids in wanted for id_ in ids)
    num_whole = num_cut = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counts = {id_: int(rng.integers(1, 1000)) * n for id_, n in used.items()}
        vocab_size = int(rng.integers(300, full.get_vocab_size()))
        space = trim(full_json, vocab_size, counts)
        for text, ids in zip(texts, wanted, strict=True):
            mapped = space.from_teacher[ids]
            if (mapped >= 0).all():
                num_whole += 1
                assert space.encode(text) == mapped.tolist()
            else:
                num_cut += 1
                assert space.decode(space.encode(text)) == text
    assert num_whole > 1000
    assert num_cut > 100


@pytest.mark.parametrize("kind", ["byte-level", "SentencePiece"])
@pytest.mark.parametrize("vocab_size", [300, 301, 399, 500])
def test_the_space_has_exactly_the_size_asked_for_and_is_closed_under_merges(
    kind: str, vocab_size: int
) -> None:
    data = json.loads(teacher_json(kind))
    space = trim(teacher_json(kind), vocab_size, {500: 3, 450: 2, 320: 1})
    vocab, kept = data["model"]["vocab"], set(space.to_teacher.tolist())
    assert len(kept) == space.vocab_size == vocab_size
    kept_merges = []
    for left, right in data["model"]["merges"]:
        if vocab[left + right] in kept:
            assert {vocab[left], vocab[right]} <= kept
            kept_merges.append([left, right])
    assert json.loads(space.tokenizer_json)["model"]["merges"] == kept_merges
    assert np.array_equal(space.from_teacher[space.to_teacher], np.arange(vocab_size))


def test_a_space_larger_than_the_teachers_holds_all_but_unused_symbols() -> None:
    data = json.loads(byte_level_json())
    data["added_tokens"].append({**data["added_tokens"][0], "id": 512, "content": "<|chat|>"})
    space = trim(json.dumps(data), 5000, {})
    assert space.vocab_size == 512
    assert space.from_teacher.size == 513
    assert space.from_teacher[512] == -1


def test_frequent_ids_come_before_forms_and_forms_before_the_lowest_merges() -> None:
    full = read_tokenizer(byte_level_json())
    counts = {511: 9, 510: 1}
    room = trim(byte_level_json(), 290, counts, forms=["once"])
    assert room.from_teacher[511] >= 0
    assert room.from_teacher[510] >= 0
    for text in ("once", " once", "Once", " Once"):
        ids = full.encode(text, add_special_tokens=False).ids
        assert (room.from_teacher[ids] >= 0).all()
        assert room.encode(text) == room.from_teacher[ids].tolist()
    none = trim(byte_level_json(), 290, {})
    assert (none.from_teacher[:290] >= 0).all()
    tight = trim(byte_level_json(), 265, {id_: id_ for id_ in range(2, 512)})
    assert tight.vocab_size == 265


def test_counts_may_be_an_array_by_id() -> None:
    counts = np.zeros(512, np.int64)
    counts[[500, 505]] = 5
    space = trim_tokenizer(
        byte_level_json(), vocab_size=300, id_counts=counts, forms=(), start_id=0, end_ids=(1,)
    )
    assert space.digest == trim(byte_level_json(), 300, {500: 5, 505: 5}).digest


@cache
def small_space() -> TokenSpace:
    return trim(byte_level_json(), 300, {500: 1})


@given(text=st.text())
@settings(max_examples=300)
def test_any_text_comes_back(text: str) -> None:
    assert small_space().decode(small_space().encode(text)) == text


def test_the_smallest_sentencepiece_space_reads_any_text() -> None:
    space = trim(sentencepiece_json(), 259, {})
    for text in (*stories()[:5], " a  b", "caf\u00e9 \u2603"):
        assert space.decode(space.encode(text)) == text


@pytest.mark.parametrize("text", [f"a {END} b", START, f"{END}{END}", "  two  spaces ", "\n\t"])
def test_symbols_names_and_whitespace_come_back_as_text(text: str) -> None:
    space = trim(byte_level_json(), 300, {})
    ids = space.encode(text)
    assert space.decode(ids) == text
    assert not {space.start_id, space.end_id} & set(ids)


def test_every_end_id_of_the_teacher_is_the_one_end_id() -> None:
    space = trim(byte_level_json(), 400, {id_: 1 for id_ in range(300, 500)}, end_ids=(1, 300))
    assert space.from_teacher[[1, 300]].tolist() == [space.end_id] * 2
    assert space.to_teacher[space.end_id] == 1
    assert 300 not in space.to_teacher
    same = trim(byte_level_json(), 400, {}, start_id=1)
    assert same.start_id == same.end_id


@pytest.mark.parametrize("kind", ["byte-level", "SentencePiece", "llama2.c"])
def test_transformers_reads_the_folder_with_the_same_ids(kind: str, tmp_path: Path) -> None:
    space = trim(teacher_json(kind), 400, {450: 1}, start_id=1, end_ids=(2,))
    save(space, tmp_path)
    LlamaConfig(vocab_size=400).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*stories()[:20], "Zebra crossing: 42!", " a  b"):
        assert tokenizer(text, add_special_tokens=False).input_ids == space.encode(text)
        assert tokenizer(text).input_ids == [space.start_id, *space.encode(text)]
        assert tokenizer.decode(space.encode(text)) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (space.start_id, space.end_id)


def test_a_saved_space_loads_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    space = trim(byte_level_json(), 400, {450: 1})
    save(space, tmp_path)
    again = load(tmp_path)
    assert (again.digest, again.start_id, again.end_id) == (space.digest, 0, 1)
    assert np.array_equal(again.to_teacher, space.to_teacher)
    assert np.array_equal(again.from_teacher, space.from_teacher)
    assert again.encode(stories()[0]) == space.encode(stories()[0])
    path = tmp_path / "token_space.json"
    whole = path.read_text()
    path.write_text(whole.replace('"end_id":1', '"end_id":2'))
    with pytest.raises(DistillError, match=r"expected digest .* was changed"):
        load(tmp_path)
    path.write_text(whole[:-20])
    with pytest.raises(DistillError, match="found JSONDecodeError"):
        load(tmp_path)
    path.write_text(whole)
    (tmp_path / "tokenizer.json").write_text(byte_level_json())
    with pytest.raises(DistillError, match="do not belong together"):
        load(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(DistillError, match="found FileNotFoundError"):
        load(tmp_path)


def test_the_digest_follows_from_every_part() -> None:
    spaces = [
        trim(byte_level_json(), 400, {450: 1}),
        trim(byte_level_json(), 401, {450: 1}),
        trim(byte_level_json(), 400, {505: 1}),
        trim(byte_level_json(), 400, {450: 1}, start_id=1),
        trim(byte_level_json(), 400, {450: 1}, end_ids=(1, 511)),
    ]
    assert len({space.digest for space in spaces}) == len(spaces)
    assert spaces[0].digest == trim(byte_level_json(), 400, {450: 1}).digest


def test_other_kinds_of_tokenizers_are_refused() -> None:
    unigram = Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)], 0, False)).to_str()
    pieces = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")).to_str()
    letters = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).to_str()
    for tokenizer_json, found in [
        (unigram, "Unigram"),
        (pieces, "WordPiece"),
        (letters, "without byte fallback"),
    ]:
        with pytest.raises(DistillError, match=f"expected a BPE tokenizer .* found .*{found}"):
            trim(tokenizer_json, 300, {})


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DistillError, match="room for bytes, 256 ids so far, found vocab_size 100"):
        trim(byte_level_json(), 100, {})
    with pytest.raises(
        DistillError, match="expected start_id among the tokenizer's ids, found 900"
    ):
        trim(byte_level_json(), 300, {}, start_id=900)
    with pytest.raises(DistillError, match="at least one end id"):
        trim(byte_level_json(), 300, {}, end_ids=())
    with pytest.raises(DistillError, match=r"text of a tokenizer\.json"):
        read_tokenizer("{}")


@pytest.mark.parametrize("kind", ["byte-level", "SentencePiece"])
def test_bytes_of_the_ids_spell_the_text(kind: str) -> None:
    full = read_tokenizer(teacher_json(kind))
    spelled = token_bytes(teacher_json(kind))
    text = 'Once, "a caf\u00e9" was\nopen \u2603.'
    ids = full.encode(text, add_special_tokens=False).ids
    assert b"".join(spelled[id_] for id_ in ids).removeprefix(b" ") == text.encode()


@pytest.mark.parametrize("kind", ["byte-level", "SentencePiece"])
def test_word_starts_are_ids_that_begin_with_whitespace_and_the_end(kind: str) -> None:
    full = read_tokenizer(teacher_json(kind))
    mask = word_start_mask(teacher_json(kind), vocab_size=full.get_vocab_size(), end_ids=(1,))
    ids = full.encode("the boat\nand", add_special_tokens=False)
    expected = [token[0] in "\u2581\u0120\u010a" or token == "<0x0A>" for token in ids.tokens]
    assert mask[ids.ids].tolist() == expected
    assert sum(expected) >= 2
    assert mask[[0, 1]].tolist() == [False, True]
