"""What shapes imports."""


def square(value):
    return "%d m2" % value
