"""Files that aircraft and people take: one module a format."""
