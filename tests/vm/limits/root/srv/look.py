# Says which limits it sees, and tries to lift them.
import os
import time

print("group", open("/proc/self/cgroup").read().strip(), flush=True)
for name in "memory.max", "memory.high", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight":
    print(name, open(f"/sys/fs/cgroup/{name}").read().strip(), flush=True)
for name in "memory.max", "pids.max", "cgroup.procs", "cgroup.kill", "cgroup.subtree_control":
    try:
        with open(f"/sys/fs/cgroup/{name}", "w") as file:
            file.write("max")
        print("DONE:", name, flush=True)
    except OSError as error:
        print("refused:", name, error.strerror, flush=True)
print("done", flush=True)
while os.path.exists("/run/idle") or not time.sleep(1000):
    pass
