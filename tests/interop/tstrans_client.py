"""Sends standard input, or receives to standard output, with the library tstrans from PyPI.

usage: python3 tstrans_client.py send|receive call|listen URL
"""

import os
import sys

from tstrans import srt

what, how, url = sys.argv[1:]
builder = srt.Builder(url)
socket = builder.connect() if how == "call" else builder.listen().accept()
if what == "send":
    sender = socket.into_sender()
    while data := sys.stdin.buffer.read(1316):
        sender.send_bytes(data)
else:
    receiver = socket.into_receiver()
    while data := receiver.recv_bytes():
        os.write(1, data)
