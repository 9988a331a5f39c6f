"""Candidates: taken in once each, listed by cursor."""
