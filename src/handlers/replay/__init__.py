"""Replays real baskets through the public API, and audits what the program made of them."""
