"""The planner link: how the slow planner and the robot talk, over ZeroMQ and msgpack.

A message goes through these files in this order: `messages` and `arrays` (what is said), `client`
(the planner's end), `server` (the robot's end), `envelope` (the gate that every command passes).
`endpoints` says where a robot listens, `clock` puts deadlines in the robot's clock, `planner` is the
demo's stand-in for a planner.
"""
