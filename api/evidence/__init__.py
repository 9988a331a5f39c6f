"""Evidence: originals untouched in a content-addressed store, dossiers that verify offline, daily signed roots."""
