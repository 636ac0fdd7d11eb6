"""Recorded workloads, replayed through the scheduler: training, judging and planning without a cluster."""
