"""Sites: the same real thing over days, and the verdict that stays with it."""
