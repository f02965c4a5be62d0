"""Which filters are alike, and what becomes of them."""
