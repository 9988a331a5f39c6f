"""OGC API Features (Part 1, core and GeoJSON): cases, cells, routes and mosaics for GIS."""
