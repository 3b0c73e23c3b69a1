# Looks for the host by the name that it was given.
import socket
import urllib.request


def attempt(what, url):
    try:
        print(what, urllib.request.urlopen(url, timeout=3).read().decode().strip(), flush=True)
    except OSError as error:
        print(what, "refused", error, flush=True)


print("the-host is", socket.gethostbyname("the-host"), flush=True)
attempt("on its address:", "http://the-host:8081/")
attempt("on its loopback:", "http://the-host:8083/")
attempt("its loopback by number:", "http://127.0.0.1:8083/")
print("done", flush=True)
