"""What makes computing repeat: seeds for every use, and tensors where bits do not depend on addresses."""
