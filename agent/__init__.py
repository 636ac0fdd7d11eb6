"""The node agent: runs what the coordinator assigns, under a lease, and reports it exactly once."""
