"""What to fly: grid, rules and fleet in; plan (sorties, crews, mission items) out. Imports none of ours."""
