"""What a fleet is kept busy with: workflows that touch everything, and a robot that starts and steers them."""
