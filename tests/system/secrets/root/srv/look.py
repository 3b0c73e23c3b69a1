# Prints what a program finds of its secrets: content, owner, mode, file system, and what it may not do.
import os, sys, time

def show(path):
    try:
        found = os.stat(path)
        with open(path) as file:
            content = file.read(64)
        print(f"secret {path} '{content}' {found.st_uid}:{found.st_gid} {found.st_mode & 0o777:o} {found.st_size}")
    except OSError as error:
        print(f"secret {path} {error.strerror}")

for path in sys.argv[1:]:
    show(path)
    try:
        os.chmod(path, 0o666)
        print(f"CHANGED {path}")
    except OSError as error:
        print(f"kept {path} {error.strerror}")
for name in sorted(os.environ):
    if name.startswith("SECRET_") or name == "CREDENTIALS_DIRECTORY":
        print(f"variable {name}={os.environ[name]}")
directory = os.environ.get("CREDENTIALS_DIRECTORY")
if directory:
    print("credentials", *sorted(os.listdir(directory)))
    for name in sorted(os.listdir(directory)):
        show(os.path.join(directory, name))
print("list", *sorted(os.listdir("/run/secrets")) if os.path.isdir("/run/secrets") else [])
print("others", os.path.exists("/run/credentials"))
with open("/proc/self/mountinfo") as mounts:
    for line in mounts:
        if "secret" in line or "credentials" in line:
            print("mount", line.split(" - ")[1].split()[0], line.split()[4], line.split()[5])
print("end", flush=True)
time.sleep(1000)
