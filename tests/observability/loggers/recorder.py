"""Logger that keeps its entries."""


class Recorder:
    def __init__(self):
        self.entries = []
        self.closed = False

    def write(self, data):
        self.entries.append(dict(data))

    def close(self):
        self.closed = True
