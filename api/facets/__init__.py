"""Facets: the officer's numbers, from rollups and short index ranges; never by counting all cases."""
