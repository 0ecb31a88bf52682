"""Decoders: what a model answered, as actions. Values in, values out: no time, no I/O, no threads."""

from spinal.runtime.decode.chunk import ChunkDecoder, decode_chunk
from spinal.runtime.decode.decoder import Decoded, Decoder, Spline
from spinal.runtime.decode.meaning import Meaning

__all__ = ["ChunkDecoder", "Decoded", "Decoder", "Meaning", "Spline", "decode_chunk"]
