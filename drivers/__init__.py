"""What is known about devices: registers, units, sensors, emulators and the simulator."""
