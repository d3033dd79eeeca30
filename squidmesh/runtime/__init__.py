"""The shell: loads, decides, appends, and calls the world. All I/O, all threads and all chance are here."""
