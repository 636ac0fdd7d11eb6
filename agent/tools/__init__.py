"""Tools that every node has built in: a function of JSON input to JSON output, run as a task."""
