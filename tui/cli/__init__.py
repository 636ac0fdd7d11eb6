"""The `corral` command: headless, quick to start, one module a family of verbs."""
