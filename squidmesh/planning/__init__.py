"""What comes next: commands in, facts out. Pure; every rule about runs is here."""
