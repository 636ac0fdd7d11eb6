"""The one minimal process that spawns, watches and reaps this node's tasks; see agent/README.md."""
