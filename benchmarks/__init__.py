"""The cases, the peers, and the committed results."""
