/* Measures one connection: from connect(2) to the first byte of the answer, in microseconds on standard output.
 * Usage: client PORT. It asks over the loopback, as a client of a socket unit would. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    static const char request[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 20};
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (argc != 2) return 2;
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    double start = now();
    if (connect(fd, (void *)&address, sizeof address)) { perror("connect"); return 1; }
    if (write(fd, request, sizeof request - 1) != (ssize_t)(sizeof request - 1)) { perror("write"); return 1; }
    if (read(fd, &byte, 1) != 1) { perror("read"); return 1; }
    printf("%.1f\n", now() - start);
    return 0;
}
