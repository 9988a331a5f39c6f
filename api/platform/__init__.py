"""Into the city's platform: the vendor's save-record call, with lookups, retries and a daily reconciliation."""
