# Takes its memory before it listens, as a program does that reads its data first.
import os
import socket

held = b"x" * (100 << 20)
is_given = "LISTEN_FDS" in os.environ
listener = socket.socket(fileno=3) if is_given else socket.create_server(("", 8080))
while True:
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfull\n")
    connection.close()
