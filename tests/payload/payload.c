/* The program that the tests and the measurements run in containers: a tiny server, or one kind of misbehaviour.
 *
 * C, because it must be static, small, and free to do what Rust forbids. It binds its port itself, or takes the sockets that
 * sd_listen_fds(3) describes: the same program is measured as a bare unit and in every container.
 *
 *   payload serve [PORT | /PATH]     answers each HTTP request; SIGTERM: finishes what it has accepted, then exits 0
 *   payload serve-fd NUMBER          the same on an inherited descriptor
 *   payload exit STATUS | signal N   ends at once, so
 *   payload stubborn [PORT]          ignores SIGTERM
 *   payload hasty [PORT | /PATH]     serves; SIGTERM: accepts what waits, and dies at once with it
 *   payload orphans COUNT [PORT]     leaves COUNT orphans behind that sleep for ever, then serves
 *   payload notify MESSAGE...        sends each message to $NOTIFY_SOCKET, prints what came of it, then sleeps
 *   payload store [PORT]             tells systemd what it keeps ($NOTIFY_SOCKET): prints what it has from its last run, leaves
 *                                    a counter and what nobody should take, says READY=1, and serves; SIGHUP: prints it and goes on
 *   payload unless FILE [PORT [exit STATUS | signal N | sleep | leave STATUS | leave-by N]]
 *                                    serves if FILE exists, and else exits 1 at once, or ends so, or never; to leave is to listen first and
 *                                    to take nobody. PORT - serves the one connection that is descriptor 3. Says READY=1 if it may
 *   payload when FILE [PORT]         waits until FILE exists, then serves
 *   payload show                     prints who and where it is
 *   payload audit                    prints how far it is from the host, a line each
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ending;

static void end(int signal) { (void)signal; ending = 1; }

static void die(const char *what) { perror(what); exit(70); }

static int listen_on(const char *where) {
    int fd;
    if (where[0] == '/') {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        strncpy(un.sun_path, where, sizeof un.sun_path - 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(fd, (void *)&un, sizeof un)) die("bind");
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(where))};
        int on = 1, off = 0;
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, (void *)&in6, sizeof in6)) die("bind");
    }
    if (listen(fd, 4096)) die("listen");
    return fd;
}

/* Appends the listening sockets: those passed by systemd, or one of our own. */
static int listeners(int *fds, const char *where) {
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    if (count && pid && atoi(pid) == getpid()) {
        int n = atoi(count);
        for (int i = 0; i < n; i++) fds[i] = 3 + i;
        return n;
    }
    fds[0] = listen_on(where);
    return 1;
}

static void die_by(int number) {
    signal(number, SIG_DFL);
    raise(number);
    exit(71);
}

/* Does not serve, in one of several ways. */
static void refuse(const char *file, const char *where, const char *how, int number) {
    int fds[16];
    fprintf(stderr, "no %s, giving up\n", file);
    if (!strcmp(how, "sleep")) signal(SIGTERM, SIG_DFL);
    while (!strcmp(how, "sleep")) pause();
    if (!strncmp(how, "leave", 5)) listeners(fds, where);
    if (!strcmp(how, "signal") || !strcmp(how, "leave-by")) die_by(number);
    exit(number);
}

static void answer(int fd) {
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
    if (write(fd, text, sizeof text - 1) < 0) {}
}

/* Serves one connection after the other, and takes the last ones with it. */
static void serve_hastily(int fd) {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &old);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    for (;;) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};
        char buffer[4096];
        ppoll(&polled, 1, NULL, &old);
        int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (ending) _exit(0);
        if (connection < 0) continue;
        if (read(connection, buffer, sizeof buffer) > 0) answer(connection);
        close(connection);
    }
}

static long milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void serve(const int *fds, int count) {
    int epoll = epoll_create1(EPOLL_CLOEXEC), open_connections = 0, closing = 0;
    long latest = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)i};
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event)) die("epoll_ctl");
    }
    for (;;) {
        struct epoll_event events[64];
        if (ending && !closing) {
            closing = 1, latest = milliseconds() + 1000;
            for (int i = 0; i < count; i++) epoll_ctl(epoll, EPOLL_CTL_DEL, fds[i], NULL);
        }
        if (closing && (open_connections == 0 || milliseconds() > latest)) exit(0);
        int n = epoll_wait(epoll, events, 64, closing ? 50 : -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u32 < (unsigned)count) {
                int fd = accept4(fds[events[i].data.u32], NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0) continue;
                struct epoll_event event = {.events = EPOLLIN, .data.u32 = 1000u + (unsigned)fd};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
                open_connections++;
                continue;
            }
            char buffer[4096];
            int fd = (int)(events[i].data.u32 - 1000);
            ssize_t got = read(fd, buffer, sizeof buffer);
            if (got > 0) answer(fd);
            int last = got <= 0 || closing || memmem(buffer, (size_t)got, "Connection: close", 17);
            if (last) { close(fd); open_connections--; }
        }
    }
}

static void notify(const char *message) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!path) { printf("notify: no NOTIFY_SOCKET\n"); return; }
    strncpy(un.sun_path, path, sizeof un.sun_path - 1);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (un.sun_path[0] == '@') un.sun_path[0] = 0;
    ssize_t sent = sendto(fd, message, strlen(message), 0, (void *)&un, length);
    printf("notify: %s: %s\n", message, sent < 0 ? strerror(errno) : "sent");
    close(fd);
}

static void hand(const char *message, int fd) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    strncpy(un.sun_path, getenv("NOTIFY_SOCKET"), sizeof un.sun_path - 1);
    int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec text = {.iov_base = (void *)message, .iov_len = strlen(message)};
    struct msghdr header = {.msg_name = &un, .msg_namelen = sizeof un, .msg_iov = &text, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = control, header.msg_controllen = sizeof control;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET, rights->cmsg_type = SCM_RIGHTS, rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    if (sendmsg(to, &header, 0) < 0) perror("sendmsg");
    close(to);
}

static void hup(int signal) { (void)signal; if (write(1, "reloaded\n", 9) < 0) {} }

/* Takes what the last run has left, leaves something to the next one, and gives back what is to be served on. */
static void store(int *fds, int *count, const char *where) {
    const char *all = getenv("LISTEN_FDS"), *named = getenv("LISTEN_FDNAMES");
    int runs = 0, passed = all ? atoi(all) : 0, memory = -1, pipes[2];
    char names[4096] = "", *rest = names, *name;
    if (named) strncpy(names, named, sizeof names - 1);
    *count = 0;
    printf("store: given %d (%s)\n", passed, names);
    for (int i = 0; i < passed && (name = strsep(&rest, ":")); i++) {
        if (!strcmp(name, "counter")) {
            memory = 3 + i;
            if (pread(memory, &runs, sizeof runs, 0) != sizeof runs) die("pread");
        } else if (!strcmp(name, "spare")) hand("FDSTOREREMOVE=1\nFDNAME=spare", -1);
        else fds[(*count)++] = 3 + i;
    }
    runs++;
    printf("store: run %d\n", runs);
    int is_new = memory < 0;
    if (is_new) memory = memfd_create("counter", MFD_CLOEXEC);
    if (pwrite(memory, &runs, sizeof runs, 0) != sizeof runs) die("pwrite");
    if (is_new) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pipes)) die("socketpair");
        hand("FDSTORE=1\nFDNAME=counter", memory);
        hand("FDSTORE=1\nFDNAME=spare\nFDPOLL=0", pipes[0]);
        hand("FDSTORE=1\nFDNAME=root", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        hand("FDSTORE=1\nFDNAME=bad:name", memory);
        hand("FDSTORE=1\nFDNAME=none", -1);
    }
    signal(SIGHUP, hup);
    if (!*count) fds[(*count)++] = listen_on(where);
    hand("READY=1", -1);
}

static void show(void) {
    char host[256] = "", cwd[4096] = "";
    gethostname(host, sizeof host - 1);
    if (!getcwd(cwd, sizeof cwd)) cwd[0] = 0;
    printf("pid=%d uid=%d gid=%d host=%s cwd=%s\n", getpid(), getuid(), getgid(), host, cwd);
    for (char **each = environ; *each; each++) printf("env %s\n", *each);
    for (int fd = 0; fd < 64; fd++) {
        struct stat at;
        if (!fstat(fd, &at)) printf("fd %d type %o\n", fd, at.st_mode & S_IFMT);
    }
}

/* One line of a file that starts with a word, without that word. */
static const char *line_of(const char *path, const char *word) {
    static char line[4096];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, word, strlen(word))) {
            fclose(file);
            line[strcspn(line, "\n")] = 0;
            return line + strlen(word) + strspn(line + strlen(word), ": \t");
        }
    if (file) fclose(file);
    return "-";
}

static int count_in(const char *path, int (*wanted)(const char *)) {
    int count = 0;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) count += wanted(entry->d_name);
    if (directory) closedir(directory);
    return count;
}

static int is_number(const char *name) { return name[0] >= '0' && name[0] <= '9'; }
static int is_entry(const char *name) { return name[0] != '.'; }

/* What can be opened for writing, of files that would change the host. */
static void writable(const char *path) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    close(fd);
    printf("writable %s\n", path);
}

static void audit(void) {
    static const char *const dangerous[] = {
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/modprobe", "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
        "/sys/power/state", "/proc/bus/pci", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/proc/1/mem", "/proc/kcore", "/proc/timer_list",
    };
    static const struct { const char *name; long flags; } namespaces[] = {{"user", 0x10000000}, {"mount", 0x00020000}, {"net", 0x40000000}};
    char line[4096];
    FILE *file;
    printf("identities %s\n", line_of("/proc/self/uid_map", ""));
    for (const char *const *word = (const char *const[]){"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Groups", NULL}; *word; word++)
        printf("%s %s\n", *word, line_of("/proc/self/status", *word));
    file = fopen("/proc/net/dev", "r");
    for (int row = 0; file && fgets(line, sizeof line, file); row++)
        if (row > 1) printf("interface %.*s\n", (int)(strcspn(line, ":") - strspn(line, " ")), line + strspn(line, " "));
    if (file) fclose(file);
    printf("processes %d\n", count_in("/proc", is_number));
    printf("descriptors %d\n", count_in("/proc/self/fd", is_number) - 1);
    printf("devices %d\n", count_in("/dev", is_entry));
    /* A mount that shows a part of another file system than its own root is bound from somewhere. */
    file = fopen("/proc/self/mountinfo", "r");
    int mounts = 0, shared = 0;
    while (file && fgets(line, sizeof line, file)) mounts++, shared += strstr(line, "shared:") || strstr(line, "master:");
    if (file) fclose(file);
    printf("mounts %d, shared with the host %d\n", mounts, shared);
    for (size_t i = 0; i < sizeof dangerous / sizeof *dangerous; i++) writable(dangerous[i]);
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
        pid_t child = fork();
        if (!child) _exit(syscall(SYS_unshare, namespaces[i].flags) ? errno : 0);
        int status;
        waitpid(child, &status, 0);
        printf("new %s namespace: %s\n", namespaces[i].name, WEXITSTATUS(status) ? strerror(WEXITSTATUS(status)) : "allowed");
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "serve", *first = argc > 2 ? argv[2] : NULL, *second = argc > 3 ? argv[3] : NULL;
    const char *where = "8080";
    int fds[16], count;

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end);
    if (!strcmp(mode, "exit")) return atoi(first ? first : "0");
    if (!strcmp(mode, "signal")) die_by(atoi(first));
    if (!strcmp(mode, "show")) { show(); return 0; }
    if (!strcmp(mode, "audit")) { audit(); return 0; }
    if (!strcmp(mode, "notify")) {
        for (int i = 2; i < argc; i++) notify(argv[i]);
        while (!ending) pause();
        return 0;
    }
    if (!strcmp(mode, "serve-fd")) {
        fds[0] = atoi(first);
        serve(fds, 1);
    }
    if (!strcmp(mode, "store")) {
        store(fds, &count, first ? first : where);
        serve(fds, count);
    }
    if (!strcmp(mode, "serve") && first) where = first;
    if (!strcmp(mode, "stubborn")) {
        signal(SIGTERM, SIG_IGN);
        if (first) where = first;
    }
    if (!strcmp(mode, "unless")) {
        if (second) where = second;
        if (access(first, F_OK)) refuse(first, where, argc > 4 ? argv[4] : "exit", argc > 5 ? atoi(argv[5]) : 1);
        if (!strcmp(where, "-")) { answer(3); return 0; }
        count = listeners(fds, where);
        if (getenv("NOTIFY_SOCKET")) hand("READY=1", -1);
        serve(fds, count);
    }
    if (!strcmp(mode, "when")) {
        while (access(first, F_OK)) {
            if (ending) return 0;
            usleep(20000);
        }
        if (second) where = second;
    }
    if (!strcmp(mode, "orphans")) {
        for (int i = 0; i < atoi(first); i++) {
            if (fork()) continue; /* Twice, so that the child is an orphan; in a session of its own, deaf to SIGTERM. */
            if (fork()) _exit(0);
            setsid();
            signal(SIGTERM, SIG_IGN);
            for (;;) pause();
        }
        if (second) where = second;
    }
    if (!strcmp(mode, "hasty") && first) where = first;
    count = listeners(fds, where);
    if (!strcmp(mode, "hasty")) serve_hastily(fds[0]);
    serve(fds, count);
}
