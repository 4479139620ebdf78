"""Pure state machines over the events of one partition: no I/O, no clock, no randomness, no logging."""
