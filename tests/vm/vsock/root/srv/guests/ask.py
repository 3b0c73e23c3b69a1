# Connects to a vsock port of this machine, sends the lines of its input, and prints what is answered to each.
import socket
import sys

connection = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
connection.settimeout(60)
connection.connect((1, int(sys.argv[1])))  # VMADDR_CID_LOCAL
for line in sys.stdin:
    connection.sendall(line.encode())
    print(connection.recv(4096).decode(), end="", flush=True)
