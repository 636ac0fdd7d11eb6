"""The pure heart of the agent: which attempt may run, which lease has run out, what is still unreported."""
