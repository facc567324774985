"""Marks of the Python tests."""


def pytest_configure(config):
    config.addinivalue_line("markers", "core: also runs on the interpreters that do not get all tests")
