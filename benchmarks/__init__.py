"""Every bar of the project, measured: each module prints its table."""
