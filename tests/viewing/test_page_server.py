"""Server of a page: connections that fail, and the pages before their first response."""

import re
import socket
import threading
from pathlib import Path

import pytest

from mukoe.viewing import page_server
from mukoe.viewing.page_server import ADDRESS, PageServer


@pytest.mark.parametrize("page", sorted(Path(page_server.__file__).parent.glob("*.html")), ids=str)
def test_a_page_shows_no_empty_picture_before_its_first_response(page):
    elements = re.findall(r"<(?:img|svg)[^>]*>", page.read_text())
    assert elements and all(element.endswith(" hidden>") for element in elements)


def fail():
    raise KeyError("a fault of this program")


@pytest.mark.parametrize(("answer", "reported"), [(lambda: "x" * 10_000_000, False), (fail, True)])
def test_a_browser_that_leaves_is_no_error(capfd, answer, reported):
    leaves, handled = threading.Event(), threading.Event()

    def get(query):
        assert leaves.wait(10)
        return answer()

    class Server(PageServer):
        def shutdown_request(self, request):
            super().shutdown_request(request)
            handled.set()

    server = Server(0, {"/": get}, {})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        client = socket.create_connection((ADDRESS, server.server_port))
        client.sendall(f"GET / HTTP/1.1\r\nHost: {ADDRESS}:1\r\n\r\n".encode())
        client.close()
        leaves.set()
        assert handled.wait(10)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert ("Traceback" in capfd.readouterr().err) == reported
