"""A package of a program whose functions are sent: test_ship.py."""
