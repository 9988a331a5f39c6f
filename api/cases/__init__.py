"""Cases: an accepted candidate, filed with a number and followed through the platform's own states."""
