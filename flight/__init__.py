"""Fly it: a plan in; track and capture log out, over MAVLink. In doubt the aircraft comes home."""
