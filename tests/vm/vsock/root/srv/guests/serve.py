# Serves vsock connections, line by line: those of the socket that it is given, or of one that it binds to the port it is told.
import os
import socket
import sys
import threading


def serve(connection, client):
    size = connection.getsockopt(socket.AF_VSOCK, socket.SO_VM_SOCKETS_BUFFER_SIZE)
    print("buffer", size, flush=True)
    for line in connection.makefile():
        connection.sendall(f"{os.getpid()} answers {client[0]}: {line}".encode())


if len(sys.argv) > 1:
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    for name in socket.SO_VM_SOCKETS_BUFFER_MAX_SIZE, socket.SO_VM_SOCKETS_BUFFER_SIZE:
        listener.setsockopt(socket.AF_VSOCK, name, 1 << 20)
    listener.bind((socket.VMADDR_CID_ANY, int(sys.argv[1])))
    listener.listen()
else:
    listener = socket.socket(fileno=3)
while True:
    threading.Thread(target=serve, args=listener.accept()).start()
