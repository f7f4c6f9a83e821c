"""The ZeroMQ runtime: the program graph on ZeroMQ sockets and the in-process replay."""
