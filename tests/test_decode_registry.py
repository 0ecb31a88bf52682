"""Decoders by entry points: ours as pyproject.toml registers them, and a stranger's from a package of its own."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from decode_cards import card

import spinal
from spinal.runtime.config.card.decoders import DecoderSettings
from spinal.runtime.decode.chunk import ChunkDecoder
from spinal.runtime.decode.registry import GROUP, OWN, find_decoder, make_decoder
from spinal.runtime.errors import PolicyError

STRANGE = '''
import numpy as np
from spinal.runtime.decode import Decoded

class Halves:
    """Answers half of what the model said."""

    def __init__(self, card, folder):
        self.name, self.share, self.folder = card.output.name, card.decoder.settings["share"], folder

    def decode(self, answer):
        return Decoded(np.asarray(answer[self.name][0], float) * self.share)

    def restart(self):
        pass
'''


def install(folder, package, points, module=STRANGE):
    """A distribution as an installer leaves it."""
    (folder / f"{package}.py").write_text(module)
    facts = folder / f"{package}-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        f"[{GROUP}]\n" + "".join(f"{n} = {v}\n" for n, v in points.items())
    )


def other(name, **settings):
    return card({"kind": "other", "name": name, "settings": settings})


def test_ours_are_what_pyproject_registers():
    path = Path(spinal.__file__).resolve().parent.parent / "pyproject.toml"
    assert tomllib.loads(path.read_text())["project"]["entry-points"][GROUP] == OWN


def test_every_kind_of_the_card_has_its_decoder():
    kinds = {
        section.model_fields["kind"].annotation.__args__[0]
        for section in DecoderSettings.__args__[0].__args__
    }
    assert kinds - {"other"} == set(OWN)
    for name in OWN:
        assert callable(find_decoder(name))
    made = make_decoder(card({"kind": "chunk"}), Path())
    assert isinstance(made, ChunkDecoder)
    answer = np.random.default_rng(0).normal(size=(1, 20, 2)).astype(np.float32)
    np.testing.assert_array_equal(made.decode({"out": answer}).actions, answer[0])


def test_a_strangers_is_found_in_the_same_way(tmp_path, monkeypatch):
    install(tmp_path, "strange_halves", {"halves": "strange_halves:Halves", "chunk": "strange_halves:Halves"})
    monkeypatch.syspath_prepend(tmp_path)
    made = make_decoder(other("halves", share=0.5), Path("/models"))
    np.testing.assert_array_equal(
        made.decode({"out": np.ones((1, 20, 2), np.float32)}).actions, np.full((20, 2), 0.5)
    )
    assert made.folder == Path("/models")
    assert find_decoder("chunk") is ChunkDecoder  # a name of ours is ours
    assert EntryPoint("chunk", OWN["chunk"], GROUP).load() is ChunkDecoder


def test_what_is_not_there_or_does_not_load_is_told(tmp_path, monkeypatch):
    with pytest.raises(PolicyError, match="no decoder is called halves") as caught:
        make_decoder(other("halves"), Path())
    assert GROUP in caught.value.hint
    install(
        tmp_path,
        "strange_one",
        {"halves": "strange_one:Halves", "gone": "strange_one:Gone", "far": "nowhere:X"},
    )
    install(tmp_path, "strange_two", {"halves": "strange_two:Halves"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PolicyError, match="2 decoders are called halves"):
        make_decoder(other("halves"), Path())
    for name in ("gone", "far"):
        with pytest.raises(PolicyError, match=f"the decoder {name} does not load"):
            make_decoder(other(name), Path())
