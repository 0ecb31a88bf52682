"""The default task's policy and the scripts that make it: expert, data, training, export, evaluation."""
