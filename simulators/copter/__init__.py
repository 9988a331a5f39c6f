"""One simulated ArduCopter: what it is as a body, as an autopilot, and as a speaker of MAVLink."""
