/* The client of the tests and the measurements, over the loopback.
 *
 *   client first PORT                connects, asks, and prints the microseconds from connect(2) to the first byte of the answer
 *   client load PORT RATE SECONDS    opens RATE connections a second, each with one request, whatever becomes of the others; prints how
 *                                    many were sent and lost (refused, reset, closed or silent for 30 s), and fails if any was
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "first")) return first(argv[2]);
    if (argc == 5 && !strcmp(argv[1], "load")) return load(argv[2], atoi(argv[3]), atoi(argv[4]));
    fprintf(stderr, "usage: client first PORT | client load PORT RATE SECONDS\n");
    return 2;
}
