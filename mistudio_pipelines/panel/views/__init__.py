"""What pages show, made of what the API answers: pure functions."""
