"""What did happen: facts, their codec, and the state that they fold to. Pure."""
