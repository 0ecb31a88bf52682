"""Cycles on a line beside a bare client's: what `bus` measures with."""
