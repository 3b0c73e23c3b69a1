# Takes its time until it listens, then says to each connection who asked; on a name too, which is no path.
import os, socket, threading, time
print("seen", *sorted(p for p in os.listdir("/proc") if p.isdigit()), flush=True)
time.sleep(3)
def serve(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection,), daemon=True).start()
def answer(connection):
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.close()
tcp = socket.create_server(("127.0.0.1", 9000), backlog=128)
name = socket.socket(socket.AF_UNIX)
name.bind("\0slow")
name.listen(128)
threading.Thread(target=serve, args=(name,), daemon=True).start()
serve(tcp)
