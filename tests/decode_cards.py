"""Cards for decoders, made without a file."""

from spinal.runtime.config.card import PolicyCard

ARM_AND_GRIPPER = ("arm", "gripper")


def card(decoder, steps=20, kinds=ARM_AND_GRIPPER, output=None, **more):
    """A card whose decoder is ``decoder``; a joint of each of ``kinds``. ``output``: its shape, or its table."""
    joints = len(kinds)
    shape = output or (1, steps, joints)
    dtype = {"dtype": "int64"} if decoder["kind"] in ("fast", "beast", "bins") else {}
    raw = {
        "schema": 1,
        "name": "reach",
        "version": "0.1.0",
        "representation": "absolute",
        "chunk": {"steps": steps, "step_ms": 20.0},
        "decoder": decoder,
        "joints": [
            {"name": f"joint_{i}", "kind": kind, "unit": "m" if kind == "gripper" else "rad"}
            for i, kind in enumerate(kinds)
        ],
        "inputs": [{"name": "q", "stream": "joint_position", "shape": [1, joints], "unit": "joint"}],
        "output": output if isinstance(output, dict) else {"name": "out", "shape": list(shape)} | dtype,
    }
    return PolicyCard.model_validate(raw | more)
