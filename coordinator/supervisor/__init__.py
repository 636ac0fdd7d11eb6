"""Keeps the processes of one machine running: start in order, probe, restart with backoff, stop in order."""
