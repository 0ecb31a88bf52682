"""Faults put into the live simulated robot, one at a time, and what its arm did; see ``spinal faults``.

harness    a robot that can be hurt: its processes, everything that it recorded, and what reached its servos
motion     arithmetic on the commands that reached the servos: steps, limits, rest
judge      what one fault did, as a row: how soon seen, how soon safe, at rest, how far over what
one file per family of faults: processes, inference, host, bus, sensor, body, operator
table, run, soak, command
"""
