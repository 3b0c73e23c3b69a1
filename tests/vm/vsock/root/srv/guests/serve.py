# Serves vsock connections, line by line: those of the socket that it is given, or of one that it binds to the port it is told.
import os
import socket
import sys
import threading


def serve(connection, client):
    for line in connection.makefile():
        connection.sendall(f"{os.getpid()} answers {client[0]}: {line}".encode())


if len(sys.argv) > 1:
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
    listener.listen()
else:
    listener = socket.socket(fileno=3)
while True:
    threading.Thread(target=serve, args=listener.accept()).start()
