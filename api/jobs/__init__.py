"""Jobs: the row is the truth, the broker only a bell."""
