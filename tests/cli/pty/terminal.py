"""Runs a command in a pseudo terminal: keys on standard input, the screen's bytes on standard output, pid and end on fd 3.

terminal.py COLUMNS ROWS COMMAND...
"""
import fcntl
import os
import pty
import select
import struct
import sys
import termios

columns, rows = int(sys.argv[1]), int(sys.argv[2])
pid, master = pty.fork()
if pid == 0:
    # The size must be there before the program looks.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.close(3)
    os.execvp(sys.argv[3], sys.argv[3:])

os.write(3, f"pid {pid}\n".encode())
keys_open = True
while True:
    ready, _, _ = select.select([master, 0] if keys_open else [master], [], [])
    if master in ready:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        os.write(1, data)
    if keys_open and 0 in ready:
        data = os.read(0, 65536)
        if data:
            os.write(master, data)
        else:
            keys_open = False
_, status = os.waitpid(pid, 0)
code = os.waitstatus_to_exitcode(status)
os.write(3, f"end {code if code >= 0 else 128 - code}\n".encode())
