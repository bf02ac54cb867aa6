"""Small real tokenizers of the two kinds that can be trimmed, trained on the tests' stories."""

import json
import re
from functools import cache

from tokenizers import Tokenizer, models, trainers

from distill.tokens import read_tokenizer
from tests.tiny_teacher import make_stories, train_tokenizer


@cache
def stories() -> tuple[str, ...]:
    return tuple(make_stories(300, 0))


@cache
def byte_level_json(vocab_size: int = 512) -> str:
    return train_tokenizer(stories(), vocab_size).to_str()


@cache
def sentencepiece_json(vocab_size: int = 600) -> str:
    """A SentencePiece-style tokenizer with byte fallback, trained on the stories.

    Ids and merges (every split of a token in two) are laid out as such tokenizers have them.
    """
    words = Tokenizer(models.BPE())
    words.normalizer = read_tokenizer(_metaspace_shell({}, [])).normalizer
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 259, show_progress=False)
    pieces = [piece for story in stories() for piece in re.findall(r"\S+(?: \S+)?", story)]
    words.train_from_iterator(pieces, trainer)
    model = json.loads(words.to_str())["model"]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    vocab = {token: id_ for id_, token in enumerate([*names, *tokens])}
    splits = [[t[:i], t[i:]] for t in tokens for i in range(1, len(t))]
    return _metaspace_shell(vocab, [[a, b] for a, b in splits if a in vocab and b in vocab])


def _metaspace_shell(vocab: dict[str, int], merges: list[list[str]]) -> str:
    added = [
        {"id": i, "content": name, "special": True, "single_word": False, "lstrip": False}
        | {"rstrip": False, "normalized": False}
        for i, name in enumerate(("<unk>", "<s>", "</s>"))
    ]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    back = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    prepend = {"type": "Prepend", "prepend": "\u2581"}
    decoders = [back, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]
    model: dict[str, object] = {
        "type": "BPE",
        "dropout": None,
        "unk_token": "<unk>",
        "fuse_unk": True,
    }
    model |= {"continuing_subword_prefix": None, "end_of_word_suffix": None}
    model |= {"byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added if vocab else [],
            "normalizer": {"type": "Sequence", "normalizers": [prepend, space]},
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": model,
        }
    )
