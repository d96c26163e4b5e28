"""One adversarial world."""
