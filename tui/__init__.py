"""The operators' side: the `corral` command and the console."""
