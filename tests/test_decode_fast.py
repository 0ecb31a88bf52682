"""FAST: against scipy's inverse DCT, Parseval's bound, and 100 000 sequences: bounded or invalid."""

import hashlib
import json

import numpy as np
import pytest
from byte_pairs import BytePairs
from decode_cards import card
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from spinal.runtime.decode.fast import (
    FastDecoder,
    byte_alphabet,
    coefficients,
    dct_matrix,
    text_of,
    token_bytes,
)
from spinal.runtime.errors import InvalidAnswer, PolicyError

STEPS, CHANNELS, SCALE = 20, 3, 10.0
LEAST = -120
KINDS = ("arm",) * CHANNELS


def motions(count, seed=0):
    """[count, step, channel]: smooth motions between -1 and 1."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, STEPS)[:, None]
    shape = (count, 1, CHANNELS)
    phase, speed, size = rng.uniform(0, 6, shape), rng.uniform(0, 4, shape), rng.uniform(0.1, 0.9, shape)
    return size * np.sin(phase + speed * t)


@pytest.fixture(scope="module")
def pairs():
    texts = [text_of(coefficients(motion, SCALE), LEAST) for motion in motions(40)]
    return BytePairs(texts, 400)


def decoder(folder, content, output=(1, 64), steps=STEPS, kinds=KINDS, **settings):
    (folder / "tokenizer.json").write_bytes(content)
    settings = {
        "kind": "fast",
        "tokenizer": "tokenizer.json",
        "tokenizer_sha256": hashlib.sha256(content).hexdigest(),
        "scale": SCALE,
        "min_token": LEAST,
    } | settings
    return FastDecoder(card(settings, steps, kinds, output), folder)


def test_the_matrix_is_scipys_transform():
    for steps in (1, 2, 7, 50):
        np.testing.assert_allclose(
            dct_matrix(steps), fft.dct(np.eye(steps), norm="ortho", axis=0), atol=1e-13
        )


def test_decoding_is_scipys_inverse_and_within_parsevals_bound(tmp_path, pairs):
    made = decoder(tmp_path, pairs.file())
    for motion in motions(30, seed=1):
        rounded = np.around(fft.dct(motion, norm="ortho", axis=0) * SCALE)
        np.testing.assert_array_equal(coefficients(motion, SCALE), rounded.reshape(-1))
        ids = pairs.encode(text_of(coefficients(motion, SCALE), LEAST))
        assert len(ids) < STEPS * CHANNELS
        answer = np.array([ids], np.int64)
        actions = made.decode({"out": answer}).actions
        np.testing.assert_allclose(actions, fft.idct(rounded / SCALE, norm="ortho", axis=0), atol=1e-12)
        # an orthonormal transform keeps the mean square: each coefficient is off by half a unit at most
        assert np.sqrt(np.mean((actions - motion) ** 2)) <= 0.5 / SCALE
    errors = [
        made.actions(np.array(pairs.encode(text_of(coefficients(motion, SCALE), LEAST)))) - motion
        for motion in motions(60, seed=2)
    ]
    assert np.sqrt(np.mean(np.square(errors))) < 1.05 / (np.sqrt(12) * SCALE)


def test_a_language_models_ids_are_mapped_and_what_follows_the_pad_is_not_read(tmp_path, pairs):
    motion = motions(1)[0]
    ids = np.array(pairs.encode(text_of(coefficients(motion, SCALE), LEAST)))
    plain = decoder(tmp_path, pairs.file()).actions(ids)
    size = 257_152
    told = decoder(tmp_path, pairs.file(), from_vocabulary=size, pad=0)
    openpi = size - 1 - 128 - ids
    np.testing.assert_array_equal(told.actions(np.concatenate([openpi, [0, 0, 5]])), plain)
    as_floats = {"out": np.concatenate([openpi, [0]]).astype(np.float32)[None]}
    np.testing.assert_array_equal(told.decode(as_floats).actions, plain)


def test_what_no_encoder_makes_is_invalid(tmp_path, pairs):
    made = decoder(tmp_path, pairs.file())
    rounded = coefficients(motions(1)[0], SCALE)
    text = text_of(rounded, LEAST)
    good = pairs.encode(text)
    assert made.actions(np.array(good)).shape == (STEPS, CHANNELS)

    def refused(ids, match):
        with pytest.raises(InvalidAnswer, match=match):
            made.actions(np.array(ids, np.int64))

    refused(pairs.encode(text[:-1]), "59 coefficients, and 20 x 3")
    refused(pairs.encode(text + "a"), "61 coefficients")
    refused([], "0 coefficients")
    refused([*good, 400], "token 400 is none of")
    refused([-1, *good], "token -1 is none of")
    lone = pairs.ids[next(c for c, b in byte_alphabet().items() if b == 0x80)]
    refused([lone, *good], "no text")
    too_far = rounded.copy()
    too_far[0] = 2 * SCALE * np.sqrt(STEPS) + 1
    refused(pairs.encode(text_of(too_far, LEAST)), "coefficients from .* outside")
    too_far[0] = -(2 * SCALE * np.sqrt(STEPS) + 1)
    refused(pairs.encode(text_of(too_far, LEAST)), "coefficients from .* outside")
    # each coefficient in bounds, and all of them together far out
    far = np.zeros((STEPS, CHANNELS), np.int64)
    far[:, 0] = (-1) ** np.arange(STEPS) * 60
    refused(pairs.encode(text_of(far.reshape(-1), LEAST)), "an action of")
    with pytest.raises(InvalidAnswer, match="no tokens"):
        made.decode({"out": np.array([[1.5, 2.0]], np.float32)})
    with pytest.raises(InvalidAnswer, match="no tokens"):
        made.decode({"out": np.array([[np.nan]], np.float32)})


def test_the_bounds_are_the_cards(tmp_path, pairs):
    rounded = np.zeros(STEPS * CHANNELS, np.int64)
    rounded[0] = 41
    ids = np.array(pairs.encode(text_of(rounded, LEAST)))
    assert np.abs(decoder(tmp_path, pairs.file(), max_token=41).actions(ids)).max() < 1
    with pytest.raises(InvalidAnswer, match="outside -120 to 40"):
        decoder(tmp_path, pairs.file(), max_token=40).actions(ids)
    with pytest.raises(InvalidAnswer, match=r"an action of 0\.917, and 0\.9 is the largest"):
        decoder(tmp_path, pairs.file(), largest=0.9).actions(ids)


def test_a_hundred_thousand_random_sequences_are_bounded_or_invalid(tmp_path, pairs):
    """Those that pass are what their tokens say, and never zeros in place of something else."""
    made = decoder(tmp_path, pairs.file(), steps=4, kinds=("arm",), output=(1, 8))
    rng = np.random.default_rng(0)
    table = token_bytes(pairs.file(), "t")
    passed = 0
    lengths = rng.integers(1, 9, 100_000)
    drawn = rng.integers(-2, len(table) + 2, (100_000, 8))
    for length, row in zip(lengths.tolist(), drawn, strict=True):
        ids = row[:length]
        try:
            actions = made.actions(ids)
        except InvalidAnswer:
            continue
        passed += 1
        text = b"".join(table[i] for i in ids).decode()
        said = np.array([ord(c) + LEAST for c in text]).reshape(4, 1)
        np.testing.assert_allclose(actions, fft.idct(said / SCALE, norm="ortho", axis=0), atol=1e-12)
        assert np.abs(actions).max() <= 3
    assert 100 < passed < 10_000


@pytest.fixture(scope="module")
def made_once(tmp_path_factory, pairs):
    return decoder(tmp_path_factory.mktemp("fast"), pairs.file())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_corrupted_token_is_bounded_or_invalid(data, pairs, made_once):
    made = made_once
    ids = pairs.encode(text_of(coefficients(motions(1, data.draw(st.integers(0, 99)))[0], SCALE), LEAST))
    ids[data.draw(st.integers(0, len(ids) - 1))] = data.draw(st.integers(-(2**63), 2**63 - 1))
    try:
        actions = made.actions(np.array(ids, np.int64))
    except InvalidAnswer:
        return
    assert np.abs(actions).max() <= 3


def with_model(pairs, **changes):
    tables = pairs.tokenizer()
    return tables | {"model": tables["model"] | changes}


def test_other_tokenizers_are_refused(tmp_path, pairs):
    refusals = {
        "not a JSON object": [b"[", b"[1]", b"\xff", b"[" * 100_000],
        "not a byte-level": [
            json.dumps(pairs.tokenizer(decoder=None)).encode(),
            json.dumps(pairs.tokenizer(decoder={"type": "WordPiece"})).encode(),
            json.dumps(with_model(pairs, type="Unigram")).encode(),
            b"{}",
        ],
        "uses end_of_word_suffix": [json.dumps(with_model(pairs, end_of_word_suffix="</w>")).encode()],
        "no vocabulary": [json.dumps(with_model(pairs, vocab=v)).encode() for v in ({}, [], None)],
        "has the id": [
            json.dumps(with_model(pairs, vocab={"a": number})).encode()
            for number in (-1, 2**40, "7", True, None)
        ]
        + [json.dumps(with_model(pairs, vocab={"a" * 1025: 1})).encode()],
        "not of bytes": [json.dumps(with_model(pairs, vocab={"語": 1})).encode()],
    }
    for match, files in refusals.items():
        for content in files:
            with pytest.raises(PolicyError, match=match) as caught:
                decoder(tmp_path, content)
            assert caught.value.hint


def test_a_special_token_stands_for_no_characters(tmp_path, pairs):
    tables = with_model(pairs, vocab=pairs.ids | {"<pad>": len(pairs.ids) + 1})
    tables["added_tokens"] = [{"id": len(pairs.ids) + 1, "content": "<pad>", "special": True}]
    made = decoder(tmp_path, json.dumps(tables).encode())
    good = pairs.encode(text_of(coefficients(motions(1)[0], SCALE), LEAST))
    for strange in (len(pairs.ids), len(pairs.ids) + 1):  # one that nobody has, and the special one
        with pytest.raises(InvalidAnswer, match=r"stands for no characters|is none of"):
            made.actions(np.array([strange, *good]))
    tables = with_model(pairs, vocab=pairs.ids | {"special": len(pairs.ids), "last": len(pairs.ids) + 2})
    tables["added_tokens"] = [{"id": len(pairs.ids), "content": "special", "special": True}]
    table = token_bytes(json.dumps(tables).encode(), "t")
    assert table[-3:] == [b"", b"", b"last"]
    made = decoder(tmp_path, json.dumps(tables).encode())
    for strange in (len(pairs.ids), len(pairs.ids) + 1):
        with pytest.raises(InvalidAnswer, match="stands for no characters"):
            made.actions(np.array([strange, *good]))


def test_the_file_is_the_cards(tmp_path, pairs):
    with pytest.raises(PolicyError, match=r"the SHA-256 of tokenizer\.json is"):
        decoder(tmp_path, pairs.file(), tokenizer_sha256="0" * 64)
    made = {"kind": "fast", "tokenizer": "absent.json", "tokenizer_sha256": "0" * 64}
    with pytest.raises(PolicyError, match=r"absent\.json cannot be read"):
        FastDecoder(card(made, output=(1, 8)), tmp_path)
    (tmp_path / "absent.json").write_bytes(b" " * (9 << 20))
    with pytest.raises(PolicyError, match="more than 8192 KiB"):
        FastDecoder(card(made, output=(1, 8)), tmp_path)


def test_it_is_the_tokenizers_librarys_encoding(tmp_path, pairs):
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.Tokenizer.from_str(pairs.file().decode())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=500,
        min_frequency=2,
        show_progress=False,
        special_tokens=[],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = [text_of(coefficients(motion, SCALE), LEAST) for motion in motions(200)]
    trained.train_from_iterator(texts, trainer)
    for tokenizer in (library, trained):
        made = decoder(tmp_path, tokenizer.to_str().encode())
        for motion in motions(20, seed=5):
            text = text_of(coefficients(motion, SCALE), LEAST)
            ids = tokenizer.encode(text).ids
            assert tokenizer.decode(ids) == text
            rounded = coefficients(motion, SCALE).reshape(STEPS, CHANNELS)
            expected = fft.idct(rounded / SCALE, norm="ortho", axis=0)
            np.testing.assert_allclose(made.actions(np.array(ids)), expected, atol=1e-12)
