"""Pictures: map tiles from a patrol's mosaics, and crops of one candidate before, after and in its photographs."""
