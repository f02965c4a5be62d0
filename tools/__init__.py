"""What keeps the repository itself: pages made from code, checks, pictures."""
