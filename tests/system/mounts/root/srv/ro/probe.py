"""Serves, and says what it can write."""
import http.server
import os

def can(path):
    try:
        with open(path, "w") as file:
            file.write("x")
        return "yes"
    except OSError as error:
        return error.strerror

for path in ("/written", "/mnt/rw/written", "/mnt/ro/written", "/scratch/written", "/tmp/written", "/run/written",
             "/dev/shm/written", "/proc/sys/kernel/domainname", "/sys/kernel/mm/ksm/run", "/proc/sysrq-trigger"):
    print(f"write {path}: {can(path)}", flush=True)
print("kcore", os.stat("/proc/kcore").st_size if os.path.exists("/proc/kcore") else "none", flush=True)
print("dev", sorted(os.listdir("/dev")), flush=True)
print("pids", sorted(int(p) for p in os.listdir("/proc") if p.isdigit()), flush=True)
status = dict(line.rstrip().split(":\t", 1) for line in open("/proc/self/status") if ":\t" in line)
print("NoNewPrivs", status["NoNewPrivs"], "CapEff", status["CapEff"], "CapBnd", status["CapBnd"], flush=True)
http.server.test(HandlerClass=http.server.SimpleHTTPRequestHandler, ServerClass=http.server.ThreadingHTTPServer, port=8000, bind="::")
