/* A program that binds its sockets in one of the ways that real programs do, and says on each connection which of them it came through.
 *
 *   binds [WAY] [NUMBER] SOCKET...     SOCKET: 4, 6, d (IPv6 for both), 4l (on 127.0.0.1), 4x (on 10.9.8.7), 4u, 6u, du (UDP), s/PATH, q/PATH, g/PATH
 *                                      (stream, sequential packets, datagrams; @NAME for /PATH); on $PORT or 8080
 *   binds send SOCKET                  sends a word there and prints what comes back
 *
 * WAY: how it binds, or what it does before; see main().
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
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
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum way { PLAIN, I386, SOCKETCALL, X32 };
static enum way way;
static int reuse, early = -1, extra;

static void die(const char *what) { perror(what); exit(70); }

/* A system call by the table of 32-bit programs: its pointers must lie below 4 GiB. */
static long call32(long number, long a, long b, long c) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
    if ((int)result < 0) { errno = -(int)result; return -1; }
    return (int)result;
#else
    (void)number, (void)a, (void)b, (void)c;
    return 0;
#endif
}

static struct low { struct sockaddr_storage address; unsigned arguments[3]; } *low; /* Below 4 GiB. */

static int do_bind(int fd, const void *address, socklen_t length) {
    if (way == PLAIN) return bind(fd, address, length);
    if (way == X32) return (int)syscall(0x40000000 | SYS_bind, fd, address, length);
    memcpy(&low->address, address, length);
    low->arguments[0] = (unsigned)fd, low->arguments[1] = (unsigned)(long)&low->address, low->arguments[2] = length;
    return (int)(way == I386 ? call32(361, fd, (long)&low->address, length) : call32(102, 2, (long)low->arguments, 0));
}

static int do_listen(int fd) {
    if (way == PLAIN) return listen(fd, 4096);
    if (way == X32) return (int)syscall(0x40000000 | SYS_listen, fd, 4096);
    low->arguments[0] = (unsigned)fd, low->arguments[1] = 4096;
    return (int)(way == I386 ? call32(363, fd, 4096, 0) : call32(102, 4, (long)low->arguments, 0));
}

static int port(void) { return atoi(getenv("PORT") ? getenv("PORT") : "8080") + extra; }

/* The address that a SOCKET names; its length is the result. */
static socklen_t address_of(const char *name, struct sockaddr_storage *to, int *family, int *type) {
    memset(to, 0, sizeof *to);
    *type = strchr(name, 'u') ? SOCK_DGRAM : SOCK_STREAM;
    if (strchr("sqg", *name)) {
        struct sockaddr_un *un = (void *)to;
        *family = un->sun_family = AF_UNIX;
        *type = *name == 's' ? SOCK_STREAM : *name == 'q' ? SOCK_SEQPACKET : SOCK_DGRAM;
        strncpy(un->sun_path, name + 1, sizeof un->sun_path - 1);
        socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name + 1));
        if (name[1] == '@') un->sun_path[0] = 0;
        return length;
    }
    if (*name == '4') {
        struct sockaddr_in *in = (void *)to;
        *family = in->sin_family = AF_INET;
        in->sin_port = htons((unsigned short)port());
        if (strchr(name, 'l')) in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (strchr(name, 'x')) in->sin_addr.s_addr = htonl(0x0a090807);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (void *)to;
    *family = in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((unsigned short)port());
    return sizeof *in6;
}

static int try_listen(const char *name) {
    struct sockaddr_storage address;
    int family, type, on = 1, only = *name == '6';
    socklen_t length = address_of(name, &address, &family, &type);
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (type == SOCK_DGRAM && family == AF_INET) setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    if (type == SOCK_DGRAM && family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    if (early >= 0) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};
        epoll_ctl(early, EPOLL_CTL_ADD, fd, &event);
    }
    if (do_bind(fd, &address, length)) { close(fd); return -1; }
    /* What programs do with the file of their socket. */
    if (family == AF_UNIX && name[1] == '/' && chmod(name + 1, 0666)) die(name + 1);
    if (type != SOCK_DGRAM && do_listen(fd)) { close(fd); return -1; }
    return fd;
}

static int listen_on(const char *name) {
    int fd = try_listen(name);
    if (fd < 0) die(name);
    return fd;
}

/* One client: gets the name of the socket it came through. */
static void serve_one(int fd, const char *name) {
    char text[256], buffer[4096], control[256];
    int type = 0;
    socklen_t size = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
    if (type != SOCK_DGRAM) {
        int client = accept(fd, NULL, NULL);
        if (client < 0) return;
        if (read(client, buffer, sizeof buffer) < 0) {}
        snprintf(text, sizeof text, "HTTP/1.0 200 OK\r\n\r\n%s\n", name);
        if (write(client, text, strlen(text)) < 0) {}
        close(client);
        return;
    }
    struct sockaddr_storage peer;
    struct iovec part = {buffer, sizeof buffer};
    struct msghdr message = {&peer, sizeof peer, &part, 1, control, sizeof control, 0};
    if (recvmsg(fd, &message, 0) < 0) return;
    int told = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        told |= (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO);
    snprintf(text, sizeof text, "%s%s", name, told ? " told" : "");
    sendto(fd, text, strlen(text), 0, (void *)&peer, message.msg_namelen);
}

static void serve(int *fds, char **names, int count) {
    struct pollfd polled[16];
    for (int i = 0; i < count; i++) {
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        polled[i] = (struct pollfd){fds[i], POLLIN, 0};
    }
    for (;;) {
        poll(polled, (nfds_t)count, -1);
        for (int i = 0; i < count; i++)
            if (polled[i].revents) serve_one(fds[i], names[i]);
    }
}

static void listen_and_serve(char **names, int count) {
    int fds[16];
    for (int i = 0; i < count; i++) fds[i] = listen_on(names[i]);
    serve(fds, names, count);
}

static void *in_a_thread(void *name) { return (void *)(long)listen_on(name); }

static void ignore(int signal) { (void)signal; }

/* Binds again and again while signals rain that restart nothing. */
static void in_the_rain(const char *name, int times) {
    struct sigaction action = {.sa_handler = ignore};
    struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    int failed = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < times; i++) {
        int fd = -1;
        while ((fd = try_listen(name)) < 0 && errno == EINTR) {}
        failed += fd < 0;
        if (fd >= 0) close(fd);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    printf("failed in the rain: %d of %d\n", failed, times);
}

/* Children that bind until they are killed in the middle of it. */
static void dying(const char *name, int times) {
    srand(1);
    for (int i = 0; i < times; i++) {
        pid_t child = fork();
        if (!child)
            for (;;) close(try_listen(name));
        usleep((unsigned)(rand() % 3000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    printf("died: %d\n", times);
}

static void wrong(void) {
    struct sockaddr_in good = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port())};
    int fd = socket(AF_INET, SOCK_STREAM, 0), null = open("/dev/null", O_RDONLY);
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    memcpy(edge + 4096 - 8, &good, 8);
    struct { const char *what; int fd; const void *address; socklen_t length; int expected; } cases[] = {
        {"null", fd, NULL, sizeof good, EFAULT},
        {"wild", fd, (void *)0xdead0000beefL, sizeof good, EFAULT},
        {"kernel", fd, (void *)0xffffffff81000000L, sizeof good, EFAULT},
        {"edge", fd, edge + 4096 - 8, sizeof good, EFAULT},
        {"short", fd, &good, 3, EINVAL},
        {"long", fd, &good, 4096, EINVAL},
        {"negative", fd, &good, (socklen_t)-1, EINVAL},
        {"closed", 999, &good, sizeof good, EBADF},
        {"no socket", null, &good, sizeof good, ENOTSOCK},
        {"no descriptor", -1, &good, sizeof good, EBADF},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int result = bind(cases[i].fd, cases[i].address, cases[i].length);
        printf("wrong %s: %s\n", cases[i].what, result && errno == cases[i].expected ? "refused" : strerror(result ? errno : 0));
    }
    low->arguments[0] = 1;
    printf("wrong words: %s\n", call32(102, 2, 0x10, 0) && errno == EFAULT ? "refused" : strerror(errno));
    close(fd);
}

static int by_size(const void *one, const void *other) {
    long a = *(const long *)one, b = *(const long *)other;
    return (a > b) - (a < b);
}

/* What one bind(2) takes that gets a socket, and one that does not. */
static void cost(const char *name, int times) {
    long *took = malloc(sizeof *took * (size_t)times);
    struct sockaddr_storage address;
    int family, type;
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < times; i++) {
            struct timespec before, after;
            extra = step ? 1000 : 0;
            socklen_t length = address_of(name, &address, &family, &type);
            int fd = socket(family, type, 0);
            clock_gettime(CLOCK_MONOTONIC, &before);
            if (bind(fd, (void *)&address, length)) die("bind");
            clock_gettime(CLOCK_MONOTONIC, &after);
            close(fd);
            took[i] = (after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec;
        }
        qsort(took, (size_t)times, sizeof *took, by_size);
        printf("%s: median %ld us, fastest tenth %ld us\n", step ? "let through" : "replaced", took[times / 2] / 1000, took[times / 10] / 1000);
    }
    extra = 0;
}

/* Options that were set before bind(2) are there afterwards. */
static int with_options(const char *name) {
    struct linger linger = {1, 7}, after = {0, 0};
    struct timeval wait = {3, 0}, waits = {0, 0};
    struct sockaddr_storage address;
    int family, type, on = 1, kept[3] = {0}, buffer = 20000;
    socklen_t length = address_of(name, &address, &family, &type), size = sizeof on, wide = sizeof after, time = sizeof waits;
    int fd = socket(family, type, 0);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (bind(fd, (void *)&address, length) || listen(fd, 10)) die(name);
    getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kept[0], &size);
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kept[1], &size);
    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kept[2], &size);
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &after, &wide);
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &waits, &time);
    printf("options: %d %d %d %d %ld\n", kept[0], kept[1], kept[2], after.l_linger, (long)waits.tv_sec);
    return fd;
}

/* The port that a socket has been bound to: the host's if it was replaced. */
static int bound_to(const char *name) {
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    int fd = try_listen(name);
    getsockname(fd, (void *)&address, &length);
    close(fd);
    return fd < 0 ? -errno : ntohs(address.sin6_port);
}

static int send_to(const char *name) {
    struct sockaddr_storage address;
    char buffer[256];
    int family, type;
    socklen_t length = address_of(name, &address, &family, &type);
    if (family == AF_INET) ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (family == AF_INET6) ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
    int fd = socket(family, type, 0);
    sa_family_t own = AF_UNIX; /* An abstract name that the kernel chooses, to be answered at. */
    if (family == AF_UNIX && type == SOCK_DGRAM) bind(fd, (void *)&own, sizeof own);
    alarm(5);
    if (connect(fd, (void *)&address, length) || send(fd, "hello", 5, 0) < 0) die(name);
    ssize_t got = recv(fd, buffer, sizeof buffer - 1, 0);
    if (got < 0) die(name);
    printf("%.*s\n", (int)got, buffer);
    return 0;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (low == MAP_FAILED) die("mmap");
    const char *how = argc > 1 ? argv[1] : "d";
    if (!strcmp(how, "send")) return send_to(argv[2]);
    int is_socket = strlen(how) < 3 || strchr("/@", how[1]), first = is_socket ? 1 : 2;
    int number = argc > first + 1 ? atoi(argv[first]) : 0;
    if (number > 9) first++;
    char **names = argv + first;
    int count = argc - first;
    if (!strcmp(how, "i386")) way = I386;
    if (!strcmp(how, "socketcall")) way = SOCKETCALL;
    if (!strcmp(how, "x32")) way = X32;
    if (!strcmp(how, "wrong")) wrong();
    if (!strcmp(how, "signals")) in_the_rain(names[0], number);
    if (!strcmp(how, "dying")) dying(names[0], number);
    if (!strcmp(how, "cost")) cost(names[0], number);
    if (!strcmp(how, "uring")) printf("io_uring: %s\n", syscall(425, 1, low) < 0 ? strerror(errno) : "there");
    if (!strcmp(how, "other")) { extra = 1000; listen_on(names[0]); listen_on("4u"); extra = 0; }
    if (!strcmp(how, "options")) { int fd = with_options(names[0]); serve(&fd, names, 1); }
    if (!strcmp(how, "again")) {
        for (int i = 0; i < 3; i++) {
            int fd = listen_on(names[0]);
            serve_one(fd, names[0]);
            close(fd);
        }
    }
    if (!strcmp(how, "fork")) {
        int fd = listen_on(names[0]);
        if (fork()) { wait(NULL); return 0; }
        serve(&fd, names, 1);
    }
    if (!strcmp(how, "workers")) {
        reuse = 1;
        for (int i = 0; i < 4; i++)
            if (!fork()) listen_and_serve(names, count);
        wait(NULL);
        return 0;
    }
    if (!strcmp(how, "thread")) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, in_a_thread, names[0]);
        pthread_join(thread, &result);
        int fd = (int)(long)result;
        serve(&fd, names, 1);
    }
    if (!strcmp(how, "epoll")) {
        early = epoll_create1(0);
        int fd = listen_on(names[0]);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        for (struct epoll_event event;;)
            if (epoll_wait(early, &event, 1, -1) == 1 && event.data.fd == fd) serve_one(fd, names[0]);
    }
    if (!strcmp(how, "elsewhere")) {
        int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (unshare(CLONE_NEWNET)) die("unshare");
        printf("elsewhere: port %d\n", bound_to(names[0]));
        if (setns(own, CLONE_NEWNET)) die("setns");
    }
    listen_and_serve(names, count);
}
