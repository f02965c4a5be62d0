"""What can be measured of a trial: names, units and how values are written."""
