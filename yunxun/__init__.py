"""The front door: command line, settings, workspace and jobs; the conductor that walks a patrol through the stages."""
