"""The pure heart of the coordinator: events in, effects out; no clock, no randomness, no I/O."""
