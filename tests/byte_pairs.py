"""A byte-level byte-pair encoding for tests: trained, applied, and written as ``tokenizers`` writes it."""

import json
from collections import Counter
from itertools import pairwise

from spinal.runtime.decode.fast import byte_alphabet

CHARACTER = {byte: character for character, byte in byte_alphabet().items()}


def merged(pieces, pair):
    """``pieces`` with each neighbouring ``pair`` made one."""
    out = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


class BytePairs:
    """Learns the most frequent pairs of ``texts`` until there are ``size`` tokens."""

    def __init__(self, texts, size):
        words = [[CHARACTER[byte] for byte in text.encode()] for text in texts]
        self.merges = []
        while 256 + len(self.merges) < size:
            pairs = Counter(pair for word in words for pair in pairwise(word))
            if not pairs:
                break
            best = max(pairs, key=lambda pair: (pairs[pair], pair))
            self.merges.append(best)
            words = [merged(word, best) for word in words]
        tokens = sorted(CHARACTER.values()) + [first + second for first, second in self.merges]
        self.ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}

    def encode(self, text):
        """Token ids."""
        pieces = [CHARACTER[byte] for byte in text.encode()]
        for pair in self.merges:
            pieces = merged(pieces, pair)
        return [self.ids[piece] for piece in pieces]

    def tokenizer(self, **changes):
        """The tables of a tokenizer.json."""
        model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
        model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": self.ids}
        model["merges"] = [list(pair) for pair in self.merges]
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        tables = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": level}
        return tables | {"post_processor": None, "decoder": level, "model": model} | changes

    def file(self, **changes):
        """The same as bytes."""
        return json.dumps(self.tokenizer(**changes)).encode()
