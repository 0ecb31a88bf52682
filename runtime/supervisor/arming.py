"""What must stay stopped, and the person who ends that: the latch, and arming again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spinal.native import clock, layout
from spinal.native.shared import Segment
from spinal.runtime.config.robot import RobotConfig
from spinal.runtime.segments import LINK_ORDER, OrderReader, StateReader, TransitionReader, Writer
from spinal.runtime.supervisor.children import Child
from spinal.runtime.supervisor.latch import Latch, latched_by
from spinal.runtime.supervisor.motor_bus import MotorBus
from spinal.runtime.supervisor.stops import ArmingRequests, Stops

NOT_AT_REST = "the arm is not at rest yet"


class Arming:
    """Of one robot, whose memory is mapped as ``views``. One thread: ``look`` in each round of watching."""

    def __init__(
        self,
        robot: RobotConfig,
        views: Mapping[Writer, Segment],
        stops: Stops,
        bus: MotorBus,
        say: Callable[[str], None],
    ) -> None:
        self._robot, self._stops, self._bus, self._say = robot, stops, bus, say
        self._states = StateReader(views[Writer.CONTROLLER], len(robot.joints))
        self._transitions = TransitionReader(views[Writer.CONTROLLER])
        self._link_orders = OrderReader(views[Writer.LINK], LINK_ORDER)
        self._requests = ArmingRequests(views[Writer.LINK])
        self.latch: Latch | None = None
        """What keeps the robot stopped until ``arm``."""
        self._armed_ns = 0
        self._asked = False

    def arm(self, controller: Child | None) -> str | None:
        """A person asks to arm again after a stop. Returns why it cannot be, or None when it begins.

        The motors are set up anew and a fresh controller begins at the measured pose: a hand-moved arm does not
        jump.
        """
        pressed = self._stops.pressed()
        if self.latch is None and not pressed:
            return "nothing keeps the robot stopped"
        if self.latch is not None and self.latch.final:
            return f"{self.latch.cause}: only a new start of the runtime leaves this"
        order = self._link_orders.read()
        if order is not None and order.kind >= layout.ORDER_STOP:
            return "the link still orders a stop: arm by spinal plan arm"
        state = self._states.read()
        if controller is None or self._bus.busy or (state is not None and not state.at_rest):
            return NOT_AT_REST
        still = self._stops.release()
        if still:
            return f"still pressed: {', '.join(map(str, still))}"
        self._bus.leave()
        controller.kill()
        controller.postpone(0)
        cause = self.latch.cause if self.latch is not None else ", ".join(map(str, pressed))
        self._say(f"armed again by a person; it was stopped by: {cause}")
        self.latch = None
        self._armed_ns = clock.now_ns()
        return None

    def look(self, controller: Child | None) -> None:
        """Remembers what must stay stopped; lets go of it when a planner's person asks for that."""
        state = self._states.read()
        if self.latch is None and state is not None and state.tick_ns > self._armed_ns:
            self.latch = latched_by(state, clock.now_ns(), self._detail())
            if self.latch is not None:
                self._say(f"stopped: {self.latch.cause}. It stays stopped until a person arms it again")
        self._asked |= self._requests.take()
        if self._asked:
            refused = self.arm(controller)
            self._asked = refused == NOT_AT_REST  # then it is tried again in the next round
            if refused is not None and not self._asked:
                self._say(f"not armed: {refused}")

    def _detail(self) -> str:
        """Which buttons are pressed, and the joint that a joint's condition is about."""
        pressed = [str(line) for line in self._stops.pressed()]
        changes = self._transitions.take()
        if changes and changes[-1].joint >= 0:
            pressed.append(self._robot.joints[changes[-1].joint].name)
        return ", ".join(pressed)
