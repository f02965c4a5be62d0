"""The check-up of a network before anything is trained: what it does with the images and steps that await it."""
