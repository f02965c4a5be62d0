"""The screens; each one's style lies beside it."""
