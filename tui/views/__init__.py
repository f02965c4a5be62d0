"""Pure functions: a study's state → what screens show."""
