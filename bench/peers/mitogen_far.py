"""What mitogen_peer.py has executed on the far side. mitogen sends this module there."""
import mitogen.core


def listen(router, sender):
    """A receiver, of which the other side is told."""
    receiver = mitogen.core.Receiver(router)
    sender.send(receiver.to_sender())
    return receiver


@mitogen.core.takes_router
def echo(sender, router):
    for message in listen(router, sender):
        sender.send(message.unpickle())


def send(sender, size, count):
    item = b"x" * size
    for _ in range(count):
        sender.send(item)


@mitogen.core.takes_router
def take(sender, count, router):
    receiver = listen(router, sender)
    for _ in range(count):
        receiver.get().unpickle()
    sender.send(count)
