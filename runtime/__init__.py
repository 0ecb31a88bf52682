"""The controller in Python: types, settings, policy, trajectory, planner link, supervisor, commands."""
