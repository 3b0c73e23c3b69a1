/* The client of the tests and the measurements, over the loopback or a Unix socket.
 *
 *   client first PORT                connects, asks, and prints the microseconds from connect(2) to the first byte of the answer
 *   client load PORT RATE SECONDS    opens RATE connections a second, each with one request, whatever becomes of the others; prints how
 *                                    many were sent and lost (refused, reset, closed or silent for 30 s), and fails if any was
 *   client around PORT|/PATH ROUNDS LEAST MOST
 *                                    in each round makes three requests, at random moments LEAST to MOST milliseconds after the last answer of
 *                                    the round before; prints how many were sent and lost, and the longest wait, and fails if any was lost
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 30.0

static const char request[] = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((unsigned short)atoi(port));
    return address;
}

static int first(const char *port) {
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

struct connection {
    int fd, asked;
    double since;
};

static int load(const char *port, int rate, int seconds) {
    struct sockaddr_in address = loopback(port);
    int total = rate * seconds, sent = 0, lost = 0, open_now = 0;
    struct connection *all = calloc((size_t)total, sizeof *all);
    struct pollfd *polled = calloc((size_t)total, sizeof *polled);
    double start = now();
    while (sent < total || open_now > 0) {
        while (sent < total && now() - start >= (double)sent / rate) {
            int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (fd < 0 || (connect(fd, (void *)&address, sizeof address) && errno != EINPROGRESS)) {
                fprintf(stderr, "connect: %s\n", strerror(errno));
                if (fd >= 0) close(fd);
                sent++, lost++;
                continue;
            }
            all[open_now] = (struct connection){.fd = fd, .since = now()};
            sent++, open_now++;
        }
        for (int i = 0; i < open_now; i++)
            polled[i] = (struct pollfd){.fd = all[i].fd, .events = all[i].asked ? POLLIN : POLLOUT};
        poll(polled, (nfds_t)open_now, 2);
        for (int i = open_now - 1; i >= 0; i--) {
            char text[512];
            const char *why = NULL;
            int done = 0;
            if (!polled[i].revents) {
                if (now() - all[i].since > PATIENCE) why = "no answer";
            } else if (!all[i].asked) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(all[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) why = strerror(error);
                else if (write(all[i].fd, request, sizeof request - 1) < 0) why = strerror(errno);
                all[i].asked = 1;
            } else {
                ssize_t got = read(all[i].fd, text, sizeof text);
                if (got > 0) done = 1;
                else why = got == 0 ? "closed without an answer" : strerror(errno);
            }
            if (!why && !done) continue;
            if (why) fprintf(stderr, "after %.3f s: %s\n", now() - start, why), lost++;
            close(all[i].fd);
            all[i] = all[--open_now];
        }
    }
    printf("sent %d, lost %d\n", sent, lost);
    return lost > 0;
}

/* Connects without waiting. */
static int begin(const char *where) {
    struct sockaddr_in in = loopback(where);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int is_path = where[0] == '/', fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    strncpy(un.sun_path, where, sizeof un.sun_path - 1);
    if (!connect(fd, is_path ? (void *)&un : (void *)&in, is_path ? sizeof un : sizeof in) || errno == EINPROGRESS) return fd;
    close(fd);
    return -1;
}

enum { AT_ONCE = 3 };

static int around(const char *where, int rounds, int least, int most) {
    int sent = 0, lost = 0;
    double longest = 0, last = now();
    srand((unsigned)getpid());
    for (int round = 0; round < rounds; round++) {
        double due[AT_ONCE], since[AT_ONCE];
        int fds[AT_ONCE], asked[AT_ONCE], open_now = 0;
        for (int i = 0; i < AT_ONCE; i++) {
            due[i] = last + (least + (most - least) * (rand() / (RAND_MAX + 1.0))) / 1e3;
            fds[i] = -1, asked[i] = 0;
        }
        for (open_now = AT_ONCE; open_now > 0;) {
            double wait = 0.02;
            for (int i = 0; i < AT_ONCE; i++) {
                if (due[i] == 0 || fds[i] >= 0) continue;
                double rest = due[i] - now();
                if (rest > 0) { if (rest < wait) wait = rest; continue; }
                since[i] = now(), sent++;
                if ((fds[i] = begin(where)) < 0) {
                    fprintf(stderr, "round %d: connect: %s\n", round, strerror(errno));
                    lost++, open_now--, due[i] = 0;
                }
            }
            struct pollfd polled[AT_ONCE];
            for (int i = 0; i < AT_ONCE; i++) polled[i] = (struct pollfd){.fd = fds[i], .events = asked[i] ? POLLIN : POLLOUT};
            struct timespec time = {.tv_nsec = (long)(wait * 1e9)};
            ppoll(polled, AT_ONCE, &time, NULL);
            for (int i = 0; i < AT_ONCE; i++) {
                char text[512];
                const char *why = NULL;
                if (fds[i] < 0) continue;
                if (!polled[i].revents) {
                    if (now() - since[i] < PATIENCE) continue;
                    why = "no answer";
                } else if (!asked[i]) {
                    asked[i] = 1;
                    if (write(fds[i], request, sizeof request - 1) >= 0) continue;
                    why = strerror(errno);
                } else {
                    ssize_t got = read(fds[i], text, sizeof text);
                    if (got <= 0) why = got == 0 ? "closed without an answer" : strerror(errno);
                }
                double waited = now() - since[i];
                if (waited > longest) longest = waited;
                if (why) fprintf(stderr, "round %d, after %.0f ms: %s\n", round, waited * 1e3, why), lost++;
                close(fds[i]);
                fds[i] = -1, due[i] = 0, open_now--;
            }
        }
        last = now();
    }
    printf("sent %d, lost %d, longest wait %.0f ms\n", sent, lost, longest * 1e3);
    return lost > 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "first")) return first(argv[2]);
    if (argc == 5 && !strcmp(argv[1], "load")) return load(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (argc == 6 && !strcmp(argv[1], "around")) return around(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    fprintf(stderr, "usage: client first PORT | client load PORT RATE SECONDS | client around PORT|/PATH ROUNDS LEAST MOST\n");
    return 2;
}
