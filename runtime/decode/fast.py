"""FAST (arXiv 2501.09747): a chunk as byte-pair encoded DCT coefficients.

    encode   DCT-II along time (orthonormal) -> round(scale c) -> one character each, c - min_token, every channel
             of the lowest frequency first -> byte-level byte-pair encoding
    decode   the same backwards: bytes of the tokens, UTF-8, coefficients, one matrix product

A model that errs by one token answers another text, seldom one of another length: length is no check. So every
character must be one, every coefficient and every action in bounds, or the answer is invalid as a whole. What is
left out is never made up: a coefficient of zero is the middle of the range, not "stay".
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spinal.runtime.config.card import PolicyCard
from spinal.runtime.config.card.decoders import FastDecoder as FastSettings
from spinal.runtime.decode.beside import json_of, read_beside
from spinal.runtime.decode.decoder import Answer, Decoded
from spinal.runtime.decode.tokens import check_range, ids_of
from spinal.runtime.errors import InvalidAnswer, PolicyError

Array = NDArray[np.float64]

MOST_TOKENIZER_BYTES = 8 << 20
MOST_TOKENS, MOST_TOKEN_BYTES = 1 << 16, 1024
"""Of a vocabulary (FAST has 1024, FAST+ 2048), and of one token."""


class FastDecoder:
    """Tokens to actions, or ``InvalidAnswer``."""

    def __init__(self, card: PolicyCard, folder: Path) -> None:
        settings = card.decoder
        if not isinstance(settings, FastSettings):
            raise ValueError(f"a FAST decoder for {settings.kind}")
        name = settings.tokenizer
        content = read_beside(folder, name, settings.tokenizer_sha256, MOST_TOKENIZER_BYTES)
        self._bytes = token_bytes(content, name)
        self._name, self._settings = card.output.name, settings
        self._shape = (card.chunk.steps, card.channels)
        self._inverse = dct_matrix(card.chunk.steps).T / settings.scale
        reach = 2 * settings.scale * math.sqrt(card.chunk.steps)
        self._most = reach if settings.max_token is None else settings.max_token
        self._least = max(settings.min_token, -reach) if settings.max_token is None else settings.min_token

    def decode(self, answer: Answer) -> Decoded:
        """[step, channel], every number at most ``largest`` in size. Raises InvalidAnswer."""
        return Decoded(self.actions(ids_of(answer, self._name)))

    def actions(self, ids: NDArray[np.int64]) -> Array:
        """The same from token ids alone."""
        settings, steps, channels = self._settings, *self._shape
        if settings.pad is not None:
            behind = np.flatnonzero(ids == settings.pad)
            ids = ids[: behind[0]] if len(behind) else ids
        if settings.from_vocabulary is not None:
            ids = settings.from_vocabulary - 1 - settings.skipped - ids
        check_range(ids, len(self._bytes), "in the tokenizer")
        pieces = [self._bytes[token] for token in ids.tolist()]
        if not all(pieces):
            raise InvalidAnswer("a token stands for no characters")
        try:
            text = b"".join(pieces).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidAnswer(f"the tokens' bytes are no text: {error.reason}") from None
        if len(text) != steps * channels:
            raise InvalidAnswer(f"{len(text)} coefficients, and {steps} x {channels} make a chunk")
        points = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.float64)
        points += settings.min_token
        if points.max() > self._most or points.min() < self._least:
            raise InvalidAnswer(
                f"coefficients from {points.min():g} to {points.max():g}, outside {self._least:g} to {self._most:g}"
            )
        actions: Array = self._inverse @ points.reshape(steps, channels)
        largest = float(np.abs(actions).max())
        if not largest <= settings.largest:
            raise InvalidAnswer(f"an action of {largest:.3g}, and {settings.largest:g} is the largest")
        return actions

    def restart(self) -> None:
        """Nothing is kept."""


def dct_matrix(steps: int) -> Array:
    """[frequency, step]: the orthonormal DCT-II; its transpose is its inverse."""
    frequency, step = np.arange(steps)[:, None], np.arange(steps)[None]
    matrix: Array = np.sqrt(2 / steps) * np.cos(np.pi * frequency * (2 * step + 1) / (2 * steps))
    matrix[0] /= math.sqrt(2)
    return matrix


def coefficients(actions: Array, scale: float) -> NDArray[np.int64]:
    """[step * channel] of ``actions`` [step, channel]: rounded (half to even), the lowest frequency first."""
    rounded: NDArray[np.int64] = (
        np.rint(dct_matrix(len(actions)) @ actions * scale).astype(np.int64).reshape(-1)
    )
    return rounded


def text_of(rounded: NDArray[np.int64], min_token: int) -> str:
    """What byte-pair encoding is given: one character a coefficient."""
    return "".join(chr(max(int(c) - min_token, 0)) for c in rounded)


def byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level encoding writes for each byte (GPT-2's), and the byte."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(others)}


def token_bytes(content: bytes, name: str) -> list[bytes]:
    """The bytes of each token, by id, from a tokenizer.json of the ``tokenizers`` library; empty: no such id.

    Special tokens stand for no bytes. Raises PolicyError for anything but a byte-level byte-pair encoding.
    """
    read = json_of(content, name)
    model, decoder = read.get("model"), read.get("decoder")
    if not isinstance(model, dict) or model.get("type") != "BPE" or not _is_byte_level(decoder):
        raise PolicyError(f"{name} is not a byte-level byte-pair encoding", hint="FAST's tokenizer is one")
    odd = [
        key for key in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback") if model.get(key)
    ]
    if odd:
        raise PolicyError(f"{name} uses {odd[0]}", hint="FAST's tokenizer does not")
    vocabulary, added = model.get("vocab"), read.get("added_tokens") or []
    if (
        not isinstance(vocabulary, dict)
        or not 0 < len(vocabulary) <= MOST_TOKENS
        or not isinstance(added, list)
    ):
        raise PolicyError(
            f"{name} has no vocabulary of 1 to {MOST_TOKENS} tokens", hint="copy or export it again"
        )
    special = {token.get("id") for token in added if isinstance(token, dict)}
    alphabet, table = byte_alphabet(), [b""] * MOST_TOKENS
    last = 0
    for token, number in vocabulary.items():
        if type(number) is not int or not 0 <= number < MOST_TOKENS or len(token) > MOST_TOKEN_BYTES:
            raise PolicyError(
                f"{name}: the token {token[:20]!r} has the id {number!r}", hint="export it again"
            )
        if number in special:
            continue
        try:
            table[number] = bytes(alphabet[character] for character in token)
        except KeyError:
            raise PolicyError(
                f"{name}: the token {token[:20]!r} is not of bytes", hint="export it again"
            ) from None
        last = max(last, number)
    return table[: last + 1]


def _is_byte_level(decoder: object) -> bool:
    return isinstance(decoder, dict) and decoder.get("type") == "ByteLevel"
