"""A trial's model as a folder to take away: weights, source that loads them, a card, and a check of all that."""
