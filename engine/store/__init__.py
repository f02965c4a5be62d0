"""Results of steps on disk, addressed by the hash of everything that decided them."""
