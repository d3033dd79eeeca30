"""What must always be true (protocol 4): one function for each number."""
