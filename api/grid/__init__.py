"""The city's unit grid and gazetteer: where a point belongs, and what people call it."""
