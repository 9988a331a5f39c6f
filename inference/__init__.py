"""Judge it: mosaic, frames and an earlier day in; candidates out, one per real thing, with how sure we are."""
