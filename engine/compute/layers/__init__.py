"""What may lie over a layer's weight (masks, codebooks, grids, dictionaries …), and walking over layers."""
