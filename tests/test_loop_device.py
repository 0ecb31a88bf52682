"""What servos on the wire say in their error bytes, judged by the loop as the robot file has it."""

from loop_rig import MS, SteppedRig
from reflex_rig import LIMITS

from spinal.drivers.feetech.registers import error_names
from spinal.native import layout
from spinal.native.feetech_bus import PROTECTS, PUSHES
from spinal.native.layout import Condition
from spinal.runtime.controller.plan import SafetyPlan

ARM = LIMITS._replace(device_bits=PROTECTS)
GRIPPER = LIMITS._replace(
    following_hold=0, following_stop=0, contact_hold=0, contact_stop=0, device_bits=PROTECTS & ~PUSHES
)
OVERLOAD = 0x20


def running():
    rig = SteppedRig(safety=SafetyPlan(reflexes=(ARM, ARM, GRIPPER))).running(steps=120, swing=0.3)
    rig.tick(10)
    return rig


def test_the_bits_are_those_of_the_servos_table():
    assert error_names(PROTECTS) == ("encoder", "overheated", "overcurrent", "overload")
    assert error_names(PUSHES) == ("overcurrent", "overload")


def test_an_overload_stops_the_arm_once_it_has_lasted():
    rig = running()
    began_ns = rig.next_ns
    rig.emulator.set_faults(1, error_bits=OVERLOAD)
    rig.tick_until("stopped", limit=20)
    assert 50 * MS <= rig.seen[-1]["tick_ns"] - began_ns <= 56 * MS
    assert Condition(int(rig.seen[-1]["conditions"])) == Condition.DEVICE_ERROR
    assert rig.stats["risen"]["device_error"] == 1
    rig.emulator.set_faults(1, error_bits=0)
    rig.tick(200)
    assert (rig.loop.mode, rig.state["at_rest"]) == ("stopped", 1)
    rig.loop = rig.new_loop()
    rig.tick_until("ready", limit=20)


def test_a_gripper_in_overload_grasps():
    rig = running()
    rig.emulator.set_faults(2, error_bits=OVERLOAD)
    rig.tick(40)
    assert rig.loop.mode == "running"
    assert rig.state["joints"]["error"][2] == OVERLOAD
    rig.emulator.set_faults(2, error_bits=0x04)
    rig.tick(20)
    assert rig.state["mode"] == layout.MODE_STOPPED
