"""The verbs of the command line, a module a room."""
