/* The client of the tests and the measurements, over the loopback or a Unix socket.
 *
 *   client first PORT                connects, asks, and prints the microseconds from connect(2) to the first byte of the answer
 *   client pace PORT RATE COUNT      makes COUNT requests, RATE a second, on 32 connections, and prints the microseconds from the moment at
 *                                    which each was due to its answer: the median, and the 99th percentile
 *   client load PORT RATE SECONDS    opens RATE connections a second, each with one request
 *   client around PORT|/PATH ROUNDS LEAST MOST [MORE SPREAD]
 *                                    in each round makes three requests, at random moments LEAST to MOST milliseconds after the last answer of
 *                                    the round before, and MORE at random moments of the SPREAD milliseconds after that
 *   client storm PORT PORTS EACH     opens EACH connections to each of PORTS ports, from PORT on, all at once, each with one request
 *   client hold PORT COUNT           opens COUNT connections, has each answered once, says so, and keeps them until its input ends; then
 *                                    asks once more on each, and prints how many answered and how many were broken
 *
 * load, around and storm open each connection at its moment, whatever becomes of the others, and print how many were sent and lost (refused,
 * reset, closed without an answer, or without one for 30 s) and the longest wait. They fail if any was lost, and say why.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 30.0

static const char request[] = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
static const char lasting[] = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The same without the time in which this program stood still for long, and with it the whole machine as a rule: nobody has waited then. */
static double awake(void) {
    static double last, still;
    double time = now();
    if (last > 0 && time - last > 2) still += time - last;
    last = time;
    return time - still;
}

static double random_of(double least, double most) { return least + (most - least) * (rand() / (RAND_MAX + 1.0)); }

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short)port)};
}

static int first(int port) {
    struct sockaddr_in address = loopback(port);
    struct timeval limit = {.tv_sec = 20};
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    double start = now();
    if (connect(fd, (void *)&address, sizeof address)) { perror("connect"); return 1; }
    if (write(fd, request, sizeof request - 1) < 0) { perror("write"); return 1; }
    if (read(fd, &byte, 1) != 1) { perror("read"); return 1; }
    printf("%.1f\n", (now() - start) * 1e6);
    return 0;
}

enum { LASTING = 32 };

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static int pace(int port, int rate, int count) {
    struct sockaddr_in address = loopback(port);
    int sent = 0, done = 0, busy[LASTING] = {0}, next = 0;
    double *took = calloc((size_t)count, sizeof *took), due[LASTING];
    struct pollfd polled[LASTING];
    char text[512];
    for (int i = 0; i < LASTING; i++) {
        polled[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
        if (connect(polled[i].fd, (void *)&address, sizeof address)) { perror("connect"); return 1; }
    }
    prctl(PR_SET_TIMERSLACK, 1);
    for (double start = now(); done < count;) {
        double moment = start + (double)sent / rate;
        for (int tries = 0; busy[next] && tries < LASTING; tries++) next = (next + 1) % LASTING;
        if (sent < count && !busy[next] && moment <= now()) {
            if (write(polled[next].fd, lasting, sizeof lasting - 1) < 0) { perror("write"); return 1; }
            due[next] = moment, busy[next] = 1, sent++;
            continue;
        }
        double rest = sent == count || busy[next] ? 0.1 : moment - now();
        struct timespec wait = {.tv_nsec = rest > 0 ? (long)(rest * 1e9) : 0};
        if (ppoll(polled, LASTING, &wait, NULL) <= 0) continue;
        for (int i = 0; i < LASTING; i++) {
            if (!polled[i].revents) continue;
            if (read(polled[i].fd, text, sizeof text) <= 0) { fprintf(stderr, "no answer\n"); return 1; }
            took[done++] = now() - due[i], busy[i] = 0;
        }
    }
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("%.1f %.1f\n", took[count / 2] * 1e6, took[count - 1 - count / 100] * 1e6);
    return 0;
}

/* One connection with one request, to a port or a path. */
struct one {
    double due, since;
    const char *path;
    int port, fd, asked;
};

static struct {
    int sent, lost, refused, reset, closed, silent;
    double longest;
} tally;

static int report(void) {
    if (tally.lost)
        fprintf(stderr, "refused %d, reset %d, closed %d, silent %d\n", tally.refused, tally.reset, tally.closed, tally.silent);
    printf("sent %d, lost %d, longest wait %.0f ms\n", tally.sent, tally.lost, tally.longest * 1e3);
    return tally.lost > 0;
}

enum { CLOSED = -1, SILENT = -2 };

/* It is over, with an answer (0), an error number, or otherwise. */
static void conclude(struct one *one, int how) {
    double waited = awake() - one->since;
    if (waited > tally.longest) tally.longest = waited;
    if (one->fd >= 0) close(one->fd);
    one->fd = -1;
    if (!how) return;
    tally.lost++;
    tally.refused += how == ECONNREFUSED;
    tally.reset += how == ECONNRESET || how == EPIPE;
    tally.closed += how == CLOSED;
    tally.silent += how == SILENT;
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    fprintf(stderr, "at %ld.%03ld, %s, after %.0f ms: %s\n", (long)time.tv_sec, time.tv_nsec / 1000000, one->asked ? "asked" : "not asked", waited * 1e3,
            how == CLOSED ? "closed without an answer" : how == SILENT ? "no answer" : strerror(how));
}

/* Connects without waiting. */
static int begin(int epoll, struct one *one) {
    struct sockaddr_in in = loopback(one->port);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = one};
    one->since = awake();
    tally.sent++;
    one->fd = socket(one->path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (one->path) strncpy(un.sun_path, one->path, sizeof un.sun_path - 1);
    if (one->fd < 0 || (connect(one->fd, one->path ? (void *)&un : (void *)&in, one->path ? sizeof un : sizeof in) && errno != EINPROGRESS) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event)) {
        conclude(one, errno);
        return -1;
    }
    return 0;
}

/* Takes the next step; whether it is over. */
static int go_on(int epoll, struct one *one) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    char text[512];
    if (one->asked) {
        ssize_t got = read(one->fd, text, sizeof text);
        conclude(one, got > 0 ? 0 : got == 0 ? CLOSED : errno);
        return 1;
    }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (!error && write(one->fd, request, sizeof request - 1) < 0) error = errno;
    if (!error) one->asked = 1;
    if (!error && epoll_ctl(epoll, EPOLL_CTL_MOD, one->fd, &event)) error = errno;
    if (error) conclude(one, error);
    return error != 0;
}

static int by_due(const void *a, const void *b) {
    double left = ((const struct one *)a)->due, right = ((const struct one *)b)->due;
    return (left > right) - (left < right);
}

/* Makes them all, and waits until each is over. */
static void make(struct one *all, int count) {
    int epoll = epoll_create1(EPOLL_CLOEXEC), begun = 0, oldest = 0, open_now = 0;
    qsort(all, (size_t)count, sizeof *all, by_due);
    while (begun < count || open_now > 0) {
        struct epoll_event events[64];
        while (begun < count && all[begun].due <= awake()) open_now += !begin(epoll, &all[begun++]);
        double rest = begun < count ? all[begun].due - awake() : 0.1;
        struct timespec wait = {.tv_nsec = rest > 0.1 ? 100000000 : rest > 0 ? (long)(rest * 1e9) : 0};
        int got = epoll_pwait2(epoll, events, 64, &wait, NULL);
        for (int i = 0; i < got; i++) open_now -= go_on(epoll, events[i].data.ptr);
        for (; oldest < begun && (all[oldest].fd < 0 || awake() - all[oldest].since > PATIENCE); oldest++)
            if (all[oldest].fd >= 0) conclude(&all[oldest], SILENT), open_now--;
    }
    close(epoll);
}

static int load(int port, int rate, int seconds) {
    int count = rate * seconds;
    struct one *all = calloc((size_t)count, sizeof *all);
    double start = awake();
    for (int i = 0; i < count; i++) all[i] = (struct one){.due = start + (double)i / rate, .port = port};
    make(all, count);
    return report();
}

static int around(const char *where, int rounds, double least, double most, int more, double spread) {
    int count = 3 + more;
    struct one *all = calloc((size_t)count, sizeof *all);
    srand((unsigned)getpid());
    for (int round = 0; round < rounds; round++) {
        double last = awake();
        for (int i = 0; i < count; i++) {
            double due = last + (i < 3 ? random_of(least, most) : random_of(most, most + spread)) / 1e3;
            all[i] = (struct one){.due = due, .path = where[0] == '/' ? where : NULL, .port = atoi(where)};
        }
        make(all, count);
    }
    return report();
}

static int storm(int port, int ports, int each) {
    int count = ports * each;
    struct one *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++) all[i] = (struct one){.port = port + i % ports};
    make(all, count);
    return report();
}

/* Asks on a connection that stays, and reads the answer. */
static int ask(int fd) {
    char text[512];
    return write(fd, lasting, sizeof lasting - 1) > 0 && read(fd, text, sizeof text) > 0;
}

static int hold(int port, int count) {
    struct sockaddr_in address = loopback(port);
    struct timeval limit = {.tv_sec = 20};
    int *fds = calloc((size_t)count, sizeof *fds), answers = 0;
    char byte;
    for (int i = 0; i < count; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(fds[i], (void *)&address, sizeof address) || !ask(fds[i])) { perror("hold"); return 1; }
    }
    printf("holds %d\n", count);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    for (int i = 0; i < count; i++) answers += ask(fds[i]);
    printf("answers %d, broken %d\n", answers, count - answers);
    return 0;
}

int main(int argc, char **argv) {
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int numbers[8] = {0};
    for (int i = 2; i < argc && i < 8; i++) numbers[i] = atoi(argv[i]);
    const char *verb = argc > 2 ? argv[1] : "";
    if (!strcmp(verb, "first") && argc == 3) return first(numbers[2]);
    if (!strcmp(verb, "pace") && argc == 5) return pace(numbers[2], numbers[3], numbers[4]);
    if (!strcmp(verb, "load") && argc == 5) return load(numbers[2], numbers[3], numbers[4]);
    if (!strcmp(verb, "around") && (argc == 6 || argc == 8))
        return around(argv[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7]);
    if (!strcmp(verb, "storm") && argc == 5) return storm(numbers[2], numbers[3], numbers[4]);
    if (!strcmp(verb, "hold") && argc == 4) return hold(numbers[2], numbers[3]);
    fprintf(stderr, "usage: client first PORT | pace PORT RATE COUNT | load PORT RATE SECONDS | around PORT|/PATH ROUNDS LEAST MOST [MORE SPREAD] | storm PORT PORTS EACH | "
                    "hold PORT COUNT\n");
    return 2;
}
