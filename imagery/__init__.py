"""See it: frames and where they were taken in; orthomosaic, poses, heights and an honest report out."""

import os

# Work is spread over threads by frame; a linear algebra library that spins up its own on top of them made small
# factorisations a hundred times slower on a loaded machine. Read when NumPy is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
