"""Review: lease, accept, reject, another look, undo."""
