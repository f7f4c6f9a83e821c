"""HTTP server of one page and its JSON endpoints, on the loopback interface only."""

import http.server
import json
import sys
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from mukoe.errors import UserError

ADDRESS = "127.0.0.1"

_MAX_BODY = 10_000


class PageServer(http.server.ThreadingHTTPServer):
    """Server of a page, with a thread per connection.

    The response to an invalid request has status 400 and one line of text.
    """

    daemon_threads = True

    def __init__(
        self,
        port: int,
        get: Mapping[str, Callable[[Mapping[str, str]], Any]],
        post: Mapping[str, Callable[[dict[str, Any]], Any]],
    ):
        """Opens the port.

        Args:
          port: port of 127.0.0.1; 0 for a free one.
          get: functions from the query to the response by path; text is a page, anything else is
            sent as JSON.
          post: functions from the JSON object of a request to the response by path.

        Raises:
          UserError: the port is not available.
        """
        self.get, self.post = get, post
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"cannot listen on port {port} of {ADDRESS}: {error}") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports the error of a connection, unless the browser has closed it."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    """HTTP handler of a `PageServer`."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:  # noqa: N802
        url = urllib.parse.urlsplit(self.path)
        if url.path not in self.server.get:
            self._send(404, "text/plain", f"there is no {url.path}\n")
            return
        query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        self._respond(lambda: self.server.get[url.path](query))

    def do_POST(self) -> None:  # noqa: N802
        if self.path not in self.server.post:
            self.close_connection = True
            self._send(404, "text/plain", f"there is no {self.path}\n")
            return
        self._respond(lambda: self.server.post[self.path](self._read_request()))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Discards the messages of the HTTP server."""

    def _respond(self, make: Callable[[], Any]) -> None:
        try:
            self._check_host()
            response = make()
        except UserError as error:
            # Unread data of this request must not be parsed as the next request.
            self.close_connection = True
            self._send(400, "text/plain; charset=utf-8", f"{error}\n")
            return
        if isinstance(response, str):
            self._send(200, "text/html; charset=utf-8", response)
        else:
            self._send(200, "application/json", json.dumps(response))

    def _check_host(self) -> None:
        """Rejects requests of other sites that resolve to this machine (DNS rebinding)."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (ADDRESS, "localhost"):
            raise UserError(f"open {self.server.url} instead")

    def _read_request(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":
            raise UserError("a request must be application/json")
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _MAX_BODY:
            raise UserError(f"a request needs a Content-Length of at most {_MAX_BODY}")
        try:
            request = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError) as error:
            raise UserError(f"a request must be JSON: {error}") from error
        if not isinstance(request, dict):
            raise UserError("a request must be a JSON object")
        return request

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
