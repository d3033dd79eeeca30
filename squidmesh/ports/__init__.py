"""What the world must offer: a journal store, a lease backend, a way to be woken, someone who watches."""
