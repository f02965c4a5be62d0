"""`distill`: training by a teacher."""
