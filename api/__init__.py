"""Tell it: candidates in; review, cases, evidence, map tiles and one gap-free feed out."""
