# Serves, and sends a signal to each process of a name, again and again: killer.py NAME SIGNAL.
import os, subprocess, sys, time

subprocess.Popen(["python3", "-m", "http.server", "-b", "::", "80"])
while True:
    time.sleep(0.05)
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/comm") as file:
                if file.read().strip() == sys.argv[1]:
                    os.kill(int(process), int(sys.argv[2]))
        except OSError:
            pass
