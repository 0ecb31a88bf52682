"""The controller: the hard loop's plan, made from a robot file, and the process that runs it."""
