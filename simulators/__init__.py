"""Instead of aircraft: MAVLink vehicles, a town to photograph, and the camera that photographs it."""
