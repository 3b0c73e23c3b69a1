# Asks the kernel for what a filter of its unit may refuse.
import os
import time

for who, ask in [("priority", lambda: os.getpriority(os.PRIO_PROCESS, 0)), ("pid", os.getppid)]:
    try:
        ask()
        print(who, "allowed", flush=True)
    except OSError as error:
        print(who, error.strerror, flush=True)
print("done", flush=True)
time.sleep(1000)
