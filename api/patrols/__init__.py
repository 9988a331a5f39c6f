"""Patrols as the API knows them: an id, a place, and where their rasters and photographs lie."""
