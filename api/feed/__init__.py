"""Events: appended in the transaction that causes them, chained by hash, read in one gap-free order."""
