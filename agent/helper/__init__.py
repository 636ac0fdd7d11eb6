"""What the guard puts beside the tasks: a library of one file, which runs without Corral."""
