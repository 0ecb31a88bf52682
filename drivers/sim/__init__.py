"""The simulated world behind the servo emulator: an arm, a task and a pose sensor."""
