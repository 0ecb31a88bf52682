"""What this computer can promise a control loop: facts, what they mean, and the command that mends each."""
