"""Runs a command in a pseudo-terminal, for specs of the command line tool.

cli_pty.py COLUMNS ROWS STEPS COMMAND...: STEPS is a JSON array of ["expect", TEXT] (wait until it has
written that, beyond what the steps before have seen), ["send", TEXT], ["resize", COLUMNS, ROWS], ["sleep",
SECONDS], ["fault", PORT] (wait until the loopback service with that control port has met a fault). Prints {"status", "signal", "output", "seen"}; "seen" is false where an expected text did not come.
"""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
import urllib.request

LONGEST = 120  # seconds for everything


def set_size(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_some(fd, seconds):
    if not select.select([fd], [], [], seconds)[0]:
        return b""
    try:
        return os.read(fd, 65536) or None
    except OSError:  # Linux: the other end has gone
        return None


class Session:
    def __init__(self, fd):
        self.fd, self.output, self.at, self.open = fd, b"", 0, True
        self.until = time.monotonic() + LONGEST

    def pump(self, seconds):
        data = read_some(self.fd, seconds)
        if data is None:
            self.open = False
        else:
            self.output += data

    def expect(self, text):
        wanted = text.encode()
        while time.monotonic() < self.until:
            found = self.output.find(wanted, self.at)
            if found >= 0:
                self.at = found + len(wanted)
                return True
            if not self.open:
                return False
            self.pump(0.05)
        return False

    def sleep(self, seconds):
        until = time.monotonic() + seconds
        while self.open and time.monotonic() < until:
            self.pump(0.02)
        return True

    def fault(self, port):
        url = "http://127.0.0.1:%d/__control/faults" % port
        while self.open and time.monotonic() < self.until:
            with urllib.request.urlopen(url, b"{}") as answer:
                if any(fault["hits"] for fault in json.load(answer)["faults"]):
                    return True
            self.pump(0.02)
        return False

    def step(self, what, *arguments):
        if what == "expect":
            return self.expect(arguments[0])
        if what == "send":
            os.write(self.fd, arguments[0].encode())
        elif what == "resize":
            set_size(self.fd, *arguments)
        elif what == "sleep":
            self.sleep(arguments[0])
        elif what == "fault":
            return self.fault(arguments[0])
        return True


def main():
    columns, rows, steps, command = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        time.sleep(0.05)  # until the window has its size
        os.execvp(command[0], command)
    set_size(fd, columns, rows)
    session, seen = Session(fd), True
    for step in steps:
        seen = session.step(*step) and seen
    while session.open and time.monotonic() < session.until:
        session.pump(0.05)
    if session.open:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    print(json.dumps({
        "status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "output": session.output.decode("utf-8", "replace"),
        "seen": seen,
    }))


main()
