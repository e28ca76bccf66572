"""A session that only talks, over the socket of src/session/request.h: `show slow` never comes to an end, `show
pause 1` takes its time, and so on."""
import json
import os
import socket
import threading
import time

from comparison import Failed


class FakeSession:
    """Listens as NAME in `folder` until ended. `asked` are the requests so far, without the first `hold`."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name + ".sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.asked, self.cancelled, self.holders = [], [], []
        self.connections = []
        self.closing = False
        threading.Thread(target=self._let_in, daemon=True).start()

    def _let_in(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            if self.closing:
                connection.close()
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        pending = b""
        try:
            while True:
                while b"\n" not in pending:
                    received = connection.recv(65536)
                    if not received:
                        if connection in self.holders:
                            self.holders.remove(connection)
                        return
                    pending += received
                line, pending = pending.split(b"\n", 1)
                self._answer(connection, json.loads(line))
        except OSError:
            pass

    def _send(self, connection, **fields):
        connection.sendall(json.dumps({"htrace": 1, **fields}).encode() + b"\n")

    def _answer(self, connection, request):
        words = request["words"]
        if words == ["hold"]:
            self._send(connection, status=0, output="")
            self.holders.append(connection)
            return
        self.asked.append(request)
        verb = words[1] if len(words) > 1 and words[0] == "show" else words[0]
        if verb == "slow":
            # Nothing comes: the client has to go away.
            self._send(connection, progress="reading the names of libc.so.6")
            if not connection.recv(1):
                self.cancelled.append(words)
            return
        if verb == "wrong":
            self._send(connection, status=2, output="", message="that is wrong")
        elif verb == "long":
            self._send(connection, status=0, output="".join(f"line {n}\n" for n in range(3000)))
        elif verb == "colour":
            colour = request.get("colour", False)
            self._send(connection, status=0, output="\033[1mbright\033[0m\n" if colour else "plain\n")
        elif verb in ("pause", "silent"):
            time.sleep(float(words[2]))
            self._send(connection, status=0, output="paused\n" if verb == "pause" else "")
        else:
            self._send(connection, status=0, output=f"answer to {' '.join(words)}\n")
        if verb == "disable":
            self.end()

    def wait_held(self, count, seconds=20):
        """Until so many consoles hold it."""
        end = time.monotonic() + seconds
        while len(self.holders) != count:
            if time.monotonic() > end:
                raise Failed(f"waited for {count} to hold the session, not {len(self.holders)}")
            time.sleep(0.02)

    def tell(self, text):
        for holder in self.holders:
            self._send(holder, event=text)

    def end(self):
        """As a session that ends: without its socket."""
        os.unlink(self.path)
        self.kill()

    def kill(self):
        """As a session that is killed: nobody listens, the socket's name stays."""
        if self.closing:
            return
        self.closing = True
        self.listener.shutdown(socket.SHUT_RDWR)  # ends accept() too
        self.listener.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()
