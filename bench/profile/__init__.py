"""Where the worst ticks of a running robot spent their time."""
