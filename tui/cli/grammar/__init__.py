"""What the verbs of `corral` take, a module a family; imports nothing heavy."""
