"""What the app draws."""

NUMBERS = [1, 4, 9, 16]
