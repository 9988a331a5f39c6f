"""Where our aircraft are now: told by whoever flies them, kept for minutes, shown on the map."""
