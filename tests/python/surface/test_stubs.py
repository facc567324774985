"""The stub of the extension module says what is there, and nothing else."""

import ast
import inspect
import os

import pytest


@pytest.fixture
def module(request):
    if request.config.getoption("--oracle"):
        pytest.skip("not with the oracle")
    from gangway import _gangway

    return _gangway


@pytest.fixture
def stub(module):
    with open(os.path.join(os.path.dirname(module.__file__), "_gangway.pyi")) as file:
        return ast.parse(file.read())


def names(body):
    named = {node.name: node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return {**named, **{node.target.id: node for node in body if isinstance(node, ast.AnnAssign)}}


def test_classes(module, stub):
    for name, node in names(stub.body).items():
        if isinstance(node, ast.ClassDef):
            found = {key for key in vars(getattr(module, name)) if not key.startswith("_")}
            assert found == {key for key in names(node.body) if not key.startswith("_")}
        elif isinstance(node, ast.FunctionDef):
            assert callable(getattr(module, name))


def test_everything_is_there(module, stub):
    assert {key for key in vars(module) if not key.startswith("_")} == set(names(stub.body))


def test_package_is_documented(module):
    import gangway

    for name in gangway.__all__:
        thing = getattr(gangway, name)
        if inspect.isclass(thing):
            assert thing.__doc__
            for key, method in vars(thing).items():
                if inspect.isfunction(method) and not key.startswith("_"):
                    assert method.__doc__, (name, key)
