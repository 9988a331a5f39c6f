"""The verifier's own geometry, which it shares with nobody: flights, places in the air, what photographs see."""
