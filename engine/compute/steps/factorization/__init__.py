"""`factorize`: low-rank layers."""
