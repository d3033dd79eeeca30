"""What should happen: definitions, their authoring and their validation. Pure."""
