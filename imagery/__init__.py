"""See it: frames and where they were taken in; orthomosaic, poses, heights and an honest report out."""
