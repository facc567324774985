"""Execution models, and WorkerPool."""

import os
import queue
import socket
import subprocess
import threading
import time

import pytest
from execnet.gateway_base import WorkerPool, get_execmodel


@pytest.fixture(params=["thread", "main_thread_only"])
def model(request):
    try:
        return get_execmodel(request.param)
    except ValueError:
        pytest.skip("1.9 has no such model")


def test_name(model):
    assert repr(model) == "<ExecModel %r>" % model.backend
    assert get_execmodel(model) is model


def test_unknown_name():
    with pytest.raises(ValueError):
        get_execmodel("nonsense")


def test_modules(model):
    assert model.queue.Queue is queue.Queue and model.queue.Empty is queue.Empty
    assert model.subprocess is subprocess and model.socket is socket


def test_primitives(model):
    for lock in (model.Lock(), model.RLock()):
        with lock:
            with lock:
                pass
    event = model.Event()
    assert not event.is_set()
    idents = []
    model.start(lambda word: (idents.append((word, model.get_ident())), event.set()), ("x",))
    assert event.wait(10)
    event.clear()
    assert idents[0][0] == "x" and idents[0][1] != model.get_ident()
    begin = time.monotonic()
    model.sleep(0.05)
    assert time.monotonic() - begin >= 0.04


def test_start_without_arguments(model):
    event = model.Event()
    model.start(event.set)
    assert event.wait(10)


@pytest.mark.better("1.9 has no closefd")
@pytest.mark.parametrize("mode, data", [("w", "x\n"), ("wb", b"x\n")])
def test_fdopen(model, mode, data):
    out, into = os.pipe()
    with model.fdopen(into, mode, 1, closefd=True) as file:
        file.write(data)
    with model.fdopen(out, "rb", 0) as file:
        assert file.read() == b"x\n"


@pytest.fixture
def pool(model):
    return WorkerPool(model)


def test_spawn(pool):
    reply = pool.spawn(lambda a, b=0: a + b, 1, b=2)
    assert reply.get(timeout=10) == reply.get() == 3
    reply.waitfinish()
    assert not reply.running


def test_errors_are_raised_each_time(pool):
    reply = pool.spawn(lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            reply.get()
    reply.waitfinish(1)


def test_timeouts(pool):
    event = threading.Event()
    reply = pool.spawn(event.wait, 20)
    assert reply.running
    for wait in (reply.get, reply.waitfinish):
        with pytest.raises(OSError):
            wait(timeout=0.01)
    assert pool.waitall(timeout=0.01) is False
    assert pool.active_count() == 1
    event.set()
    assert pool.waitall(timeout=10) is True
    assert pool.active_count() == 0
    assert reply.get() is True


def test_shutdown(pool):
    pool.spawn(time.sleep, 0.05)
    assert pool.terminate(timeout=10) is True
    with pytest.raises(ValueError):
        pool.spawn(len, ())


def test_primary_thread(model):
    pool = WorkerPool(model, hasprimary=True)
    primary = threading.Thread(target=pool.integrate_as_primary_thread)
    primary.start()
    deadline = time.monotonic() + 10
    while pool.spawn(threading.get_ident).get(10) != primary.ident:  # once it is there
        assert time.monotonic() < deadline
    pool.trigger_shutdown()
    primary.join(10)
    assert not primary.is_alive()


def test_safe_terminate(model):
    from execnet.multi import safe_terminate

    stuck, killed = model.Event(), []

    def kill():
        killed.append(1)
        stuck.set()

    safe_terminate(model, 0.2, [(lambda: None, lambda: killed.append("wrong")), (lambda: stuck.wait(20), kill)])
    assert killed == [1]


@pytest.mark.better("1.9 waits for the kill")
def test_safe_terminate_is_bounded(model):
    from execnet.multi import safe_terminate

    stuck = model.Event()
    begin = time.monotonic()
    safe_terminate(model, 0.1, [(lambda: stuck.wait(20), lambda: stuck.wait(20))] * 3)
    assert time.monotonic() - begin < 10
    stuck.set()
