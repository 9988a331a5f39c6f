"""The front door: command line, settings, workspace and jobs; the conductor that walks a patrol through the stages."""

import os

# Stages bring their own threads and processes; a linear algebra library that spins up its own on top of them made small
# factorisations a hundred times slower on a loaded machine. Read when NumPy is first imported, so it stands here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
